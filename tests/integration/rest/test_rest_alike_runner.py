"""runner_service answers REST as it answers gRPC. Each side is asked about runs of its own, set up alike."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.rest.sides import RunnerSides, filled
from tests.support.rest import annotated, rules_of
from wakepoint.event.v1 import event_pb2
from wakepoint.runner.v1 import runner_service_pb2

SERVICE = runner_service_pb2.DESCRIPTOR.services_by_name["RunnerService"]
GRAPH = {"nodes": [{"id": "gate/1", "type": "Manual", "timeout": "90s"}]}
WRONG = {"nodes": [{"id": "a", "type": "NoSuch"}], "edges": [{"source": "a", "target": "b"}]}
NODE = {"run_id": "{run}", "node_id": "gate/1"}
START = {"experiment_id": "{experiment}", "workflow_id": "{workflow}"}
WAKE = {"node_id": "gate/1", "event": {"event_id": "e1", "source": "/ci", "payload": {"ok": True}}}


@dataclass(frozen=True)
class Case:
    """A request, in which names in braces stand for what a side was set up with; the code of both, None for any.

    `binding` is the annotation to use, where not every one has room for the request.
    """

    method: str
    fields: dict[str, Any] = field(default_factory=dict)
    code: int | None = 0
    binding: int = 0

    def __str__(self) -> str:
        return f"{self.method}-{self.code}-{'-'.join(self.fields)}"


CASES = [
    Case("ValidateGraph", {"graph": GRAPH}),
    Case("ValidateGraph", {"graph": WRONG}),
    Case("StartRun", {**START, "graph": GRAPH, "input": {"n": 5, "deep": [{"x": None}]}, "request_id": "{experiment}"}),
    Case("StartRun", {**START, "graph": WRONG}, 3),
    Case("StartRun", {"graph": GRAPH}, 3),
    Case("StartRun", {**START, "graph": GRAPH, "request_id": "same"}),
    Case("StartRun", {**START, "graph": GRAPH, "request_id": "same", "input": {"another": 1}}, 6),
    Case("BatchStartRuns", {"graphs": {"g": GRAPH}, "requests": [{**START, "graph_hash": "g"}, START]}),
    Case("BatchStartRuns", {"requests": [{}] * 1001}, 3),
    Case("GetRun", {"run_id": "{run}"}),
    Case("GetRun", {"run_id": "{run}", "experiment_id": "another"}, 5),
    Case("GetRun", {"run_id": "no such/run"}, 5),
    Case("CancelRun", {"run_id": "{run}", "reason": "ünwanted"}),
    Case("CancelRun", {"run_id": "{run}", "reason": "x" * 3000}, 3),
    Case("ListRuns", {"workflow_id": "{workflow}", "states": ["RUN_STATE_QUEUED"], "page_size": 1}),
    Case("ListRuns", {"workflow_id": "{workflow}", "states": ["RUN_STATE_FAILED"]}),
    Case("ListRuns", {"page_token": "forged"}, 3),
    Case("ListRunEvents", {"run_id": "{run}"}),
    Case("ListRunEvents", {"run_id": "{run}", "event_types": ["RunCreated", "RunQueued"], "after_seq": "1"}),
    Case("ListRunEvents", {"run_id": "{run}", "after_seq": "-1"}, 3),
    Case("WatchRun", {"run_id": "{ended}"}),
    Case("WatchRun", {"run_id": "{ended}", "after_seq": "2"}),
    Case("WatchRun", {"run_id": "nobody"}, 5),
    Case("WakeUp", {**WAKE, "run_id": "{run}"}),
    Case("WakeUp", {**WAKE, "run_id": "{ended}"}),
    Case("WakeUp", {**WAKE, "run_id": "nobody"}),
    Case("WakeUp", {**WAKE, "run_id": "{run}", "workflow_id": "{workflow}"}, 3),
    Case("WakeUp", {**WAKE, "run_id": "{run}", "event": {"source": "wakepoint/timer"}}, 3),
    Case("WakeUp", {**WAKE, "workflow_id": "{workflow}"}, 0, 1),
    Case("WakeUp", {**WAKE, "workflow_id": "{workflow}", "node_id": "nowhere"}, 0, 1),
    Case("BatchWakeUp", {"wake_ups": [{**WAKE, "run_id": "{run}"}, {**WAKE, "run_id": "{run}"}, {"node_id": "x"}]}),
    Case("ListSuspended", {"experiment_id": "{experiment}", "include_waiting": True}),
    Case("ListSuspended", {"min_idle": "-5s"}, 3),
    Case("ListNodeTypes"),
    Case("RetryRun", {"run_id": "{ended}", "reason": "again"}, None),
    Case("PublishEvent", {"experiment_id": "{experiment}", "topic": "t/ä", "event": {"type": "x"}, "ttl": "60s"}, None),
    Case("UpdateSuspended", {**NODE, "priority": 5, "update_mask": "priority"}, None),
    Case("UpdateSuspended", {**NODE, "state": {"a": 1}, "update_mask": "nope", "expire_now": True}, None),
    Case("ListTriggerEvents", {**NODE, "states": ["TRIGGER_EVENT_STATE_PENDING"]}, None),
    Case("RedeliverTriggerEvents", {**NODE, "event_ids": ["e0"], "request_id": "{experiment}"}, None),
]


async def set_up(sides: RunnerSides, experiment: str) -> dict[str, str]:
    """A run that is queued with an event in its inbox, and one that was cancelled."""
    workflow_id = f"{experiment}-workflow"
    start = {"experimentId": experiment, "workflowId": workflow_id}
    run = await sides.harness.start(GRAPH, **start, requestId="same")
    ended = await sides.harness.start(GRAPH, **{**start, "workflowId": "other"})
    event = event_pb2.Event(event_id="e0", source="/ci")
    await sides.stub.WakeUp(runner_service_pb2.WakeUpRequest(run_id=run, node_id="gate/1", event=event))
    await sides.stub.CancelRun(runner_service_pb2.CancelRunRequest(run_id=ended))
    return {"experiment": experiment, "workflow": workflow_id, "run": run, "ended": ended}


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{number}-{case}") for number, case in enumerate(CASES)])
async def test_rest_and_grpc_answer_alike(runner: RunnerSides, case: Case) -> None:
    first, second = await set_up(runner, "experiment-1"), await set_up(runner, "experiment-2")
    by_grpc = await runner.over_grpc(case.method, runner.message(case.method, filled(case.fields, first)))
    asking = runner.message(case.method, filled(case.fields, second))
    by_http = await runner.over_http(case.method, asking, case.binding)
    assert case.code in (None, by_grpc.code), by_grpc.content
    assert by_http == by_grpc


@pytest.mark.parametrize("method", [rpc.name for rpc in annotated(SERVICE)])
async def test_a_request_that_says_nothing_is_answered_alike(runner: RunnerSides, method: str) -> None:
    request = runner.message(method, {})
    for name in ("run_id", "node_id"):
        # A path has no room for nothing.
        if "{" + name + "}" in str(rules_of(SERVICE.methods_by_name[method])[0]):
            setattr(request, name, "nobody")
    assert await runner.over_http(method, request) == await runner.over_grpc(method, request)


def test_only_what_trigger_service_tells_has_no_rest() -> None:
    assert {rpc.name for rpc in SERVICE.methods} - {rpc.name for rpc in annotated(SERVICE)} == {"DeliverJobEvents"}


async def test_a_run_is_watched_as_server_sent_events_and_resumed(runner: RunnerSides) -> None:
    ended = (await set_up(runner, "experiment-1"))["ended"]
    url = f"/v1/runs/{ended}/events:watch"
    whole = (await runner.http.get(url, headers={"accept": "text/event-stream"})).text
    ids = [line.removeprefix("id: ") for line in whole.splitlines() if line.startswith("id")]
    assert ids == [str(number) for number in range(1, len(ids) + 1)]
    assert len(ids) > 2
    rest = await runner.http.get(url, headers={"accept": "text/event-stream", "last-event-id": ids[-2]})
    assert [line for line in rest.text.splitlines() if line.startswith("id")] == [f"id: {ids[-1]}"]
    nothing = await runner.http.get(url, headers={"accept": "text/event-stream", "last-event-id": ids[-1]})
    assert nothing.status_code == 204


async def test_without_a_body_a_run_is_cancelled_too(runner: RunnerSides) -> None:
    names = await set_up(runner, "experiment-1")
    answer = await runner.http.post(f"/v1/runs/{names['run']}:cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "RUN_STATE_CANCELLED")


async def test_webhooks_stay_where_they_were(runner: RunnerSides) -> None:
    assert (await runner.http.post("/hooks/forged")).status_code == 404
    assert "POST /hooks/{token}" in (await runner.http.get("/")).json()["paths"]
