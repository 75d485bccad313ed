"""CloudEvents addressed to nodes, sent to runner_service over HTTP."""

import json
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary_event
from cloudevents.core.v1.event import CloudEvent

from tests.integration.rest.sides import RunnerSides
from wakepoint.runner.v1 import runner_service_pb2

GRAPH = {"nodes": [{"id": "gate", "type": "Manual"}]}
BATCHED = "application/cloudevents-batch+json"


async def send(runner: RunnerSides, event: Any, kind: str = "application/cloudevents+json") -> httpx.Response:
    return await runner.http.post("/v1/events", content=json.dumps(event), headers={"content-type": kind})


def event(**attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/ci", "type": "done", "nodeid": "gate", **attributes}


async def in_inbox(runner: RunnerSides) -> Any:
    """The one event that waits, as its node will see it."""
    async with runner.harness.database.connection() as connection:
        return await connection.fetchval("select event from runner.inbox")


async def test_an_event_reaches_its_node_once(runner: RunnerSides) -> None:
    run_id = await runner.harness.start(GRAPH)
    sent = to_binary_event(
        CloudEvent(
            {
                "id": "1",
                "source": "/ci",
                "type": "done",
                "runid": run_id,
                "nodeid": "gate",
                "datacontenttype": "application/json",
            },
            {"ok": True},
        )
    )
    first = await runner.http.post("/v1/events", content=sent.body, headers=sent.headers)
    assert (first.status_code, first.json()["disposition"]) == (202, "WAKE_UP_DISPOSITION_BUFFERED")
    assert (first.json()["success"], first.json()["run_id"]) == (True, run_id)
    again = await send(runner, event(runid=run_id, data={"ok": False}))
    assert (again.status_code, again.json()["disposition"]) == (202, "WAKE_UP_DISPOSITION_DUPLICATE")


async def test_attributes_reach_the_node(runner: RunnerSides) -> None:
    run_id = await runner.harness.start(GRAPH)
    attributes = {
        "subject": "build/7", "time": "2026-11-22T06:00:00Z", "dataschema": "https://s.example", "team": "a",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "priority": 5,
        "datacontenttype": "image/png", "data_base64": "iVBO",
    }  # fmt: skip
    assert (await send(runner, event(runid=run_id, **attributes))).status_code == 202
    seen = await in_inbox(runner)
    assert seen["payload"] == {"body_base64": "iVBO", "content_type": "image/png"}
    assert seen["extensions"] == {"team": "a", "dataschema": "https://s.example"}
    assert (seen["event_id"], seen["source"], seen["type"], seen["subject"]) == ("1", "/ci", "done", "build/7")
    assert (seen["occur_time"], seen["trace_parent"]) == ("2026-11-22T06:00:00+00:00", attributes["traceparent"])


async def test_the_one_run_of_a_workflow_is_found_and_of_several_none(runner: RunnerSides) -> None:
    run_id = await runner.harness.start(GRAPH, workflowId="w1", experimentId="e1")
    answer = await send(runner, event(workflowid="w1", experimentid="e1"))
    assert (answer.status_code, answer.json()["run_id"]) == (202, run_id)
    await runner.harness.start(GRAPH, workflowId="w1", experimentId="e1")
    answer = await send(runner, event(id="2", workflowid="w1", experimentid="e1"))
    assert (answer.status_code, answer.json()["disposition"]) == (409, "WAKE_UP_DISPOSITION_AMBIGUOUS")


async def test_what_became_of_an_event_is_its_http_status(runner: RunnerSides) -> None:
    run_id = await runner.harness.start(GRAPH)
    assert (await send(runner, event(runid="nobody"))).status_code == 404
    assert (await send(runner, event(runid=run_id, nodeid="nowhere"))).status_code == 404
    assert (await send(runner, event(runid=run_id, expiretime="2020-01-01T00:00:00Z"))).status_code == 410
    assert (await send(runner, event(runid=run_id, experimentid="another"))).status_code == 404
    assert (await send(runner, event(runid=run_id, id="2", data="x" * 1_100_000))).status_code == 413
    await runner.stub.CancelRun(runner_service_pb2.CancelRunRequest(run_id=run_id))
    assert (await send(runner, event(runid=run_id, id="3"))).status_code == 410


@pytest.mark.parametrize(
    ("attributes", "faulty"),
    [
        ({}, {"runid"}),
        ({"runid": "r", "nodeid": None}, {"nodeid"}),
        ({"runid": "r", "priority": "high"}, {"priority"}),
        ({"runid": "r", "expiretime": "soon"}, {"expiretime"}),
        ({"runid": "r", "source": "wakepoint/timer"}, {"source"}),
        ({"runid": "r", "id": ""}, {"id"}),
    ],
    ids=str,
)
async def test_what_is_wrong_is_told_by_the_name_of_the_attribute(
    runner: RunnerSides, attributes: dict[str, Any], faulty: set[str]
) -> None:
    answer = await send(runner, event(**attributes))
    assert answer.status_code == 400
    [bad] = [detail for detail in answer.json()["details"] if detail["@type"].endswith("BadRequest")]
    assert {item["field"] for item in bad["field_violations"]} == faulty


async def test_a_batch_is_answered_event_by_event(runner: RunnerSides) -> None:
    run_id = await runner.harness.start(GRAPH)
    batch = [event(runid=run_id), event(), 5, event(runid="nobody"), event(runid=run_id)]
    answer = await send(runner, batch, BATCHED)
    assert answer.status_code == 200
    results = answer.json()["results"]
    short = "WAKE_UP_DISPOSITION_"
    assert [result["disposition"].removeprefix(short) for result in results] == [
        "BUFFERED", "UNSPECIFIED", "UNSPECIFIED", "NO_SUCH_RUN", "DUPLICATE",
    ]  # fmt: skip
    assert results[1]["error"]["message"].startswith("runid:")
