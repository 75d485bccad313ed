"""CloudEvents about jobs, sent to trigger_service over HTTP."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.integration.rest.sides import TriggerSides

COMPLETE = {
    "id": "ci-17",
    "source": "/ci/builds",
    "type": "wakepoint.job.complete",
    "subject": "job-1",
    "time": datetime(2026, 11, 22, 6, tzinfo=UTC),
    "experimentid": "e1",
    "jobtype": "TRAIN",
}
JSON = {"specversion": "1.0", "id": "1", "source": "s", "subject": "j", "experimentid": "e1", "jobtype": "TRAIN"}


async def send(
    trigger: TriggerSides, event: dict[str, Any], data: Any = None, form: Any = to_binary_event
) -> httpx.Response:
    message = form(CloudEvent(event, data))
    return await trigger.http.post("/v1/events", content=message.body, headers=message.headers)


async def send_json(trigger: TriggerSides, event: Any, kind: str = "application/cloudevents+json") -> httpx.Response:
    return await trigger.http.post("/v1/events", content=json.dumps(event), headers={"content-type": kind})


def faulty(answer: httpx.Response) -> list[str]:
    [bad] = [detail for detail in answer.json()["details"] if detail["@type"].endswith("BadRequest")]
    return [item["field"] for item in bad["field_violations"]]


@pytest.mark.parametrize("form", [to_binary_event, to_structured_event])
async def test_a_finished_job_fires_its_workflow_once_however_it_is_told(trigger: TriggerSides, form: Any) -> None:
    workflow_id = await trigger.harness.workflow(TRAIN={"condition": "job.attributes.accuracy > 0.9"})
    told = {**COMPLETE, "datacontenttype": "application/json", "jobname": "nightly", "jobattempt": "2"}
    first = await send(trigger, dict(told), {"accuracy": 0.97}, form)
    assert (first.status_code, first.json()["disposition"]) == (200, "REPORT_DISPOSITION_ACCEPTED")
    assert [firing["workflow_id"] for firing in first.json()["firings"]] == [workflow_id]
    again = await send(trigger, dict(told), {"accuracy": 0.97}, to_structured_event)
    assert (again.json()["disposition"], again.json()["event_id"]) == ("REPORT_DISPOSITION_DUPLICATE", "ci-17")
    job = "concat_ws('|', experiment_id, job_id, attempt, job_type, job_name, status, attributes)"
    row = await trigger.harness.value(f"select {job} from trigger.jobs")
    assert row == 'e1|job-1|2|TRAIN|nightly|COMPLETE|{"accuracy": 0.97}'


async def test_an_identity_that_comes_back_for_another_job_is_refused(trigger: TriggerSides) -> None:
    await send(trigger, dict(COMPLETE))
    answer = await send(trigger, {**COMPLETE, "subject": "job-2"})
    assert (answer.status_code, answer.json()["code"]) == (409, 6)
    assert (await send(trigger, {**COMPLETE, "subject": "job-2", "source": "/another"})).status_code == 200


async def test_foreign_types_say_the_status_beside_them(trigger: TriggerSides) -> None:
    answer = await send(trigger, {**COMPLETE, "type": "io.argoproj.done", "jobstatus": "failed"})
    assert answer.json()["disposition"] == "REPORT_DISPOSITION_ACCEPTED"
    assert await trigger.harness.value("select status from trigger.jobs") == "FAILED"


async def test_data_can_be_the_job_event_itself(trigger: TriggerSides) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "wakepoint.job"}
    data = {
        "experiment_id": "e1", "jobId": "j7", "job_type": "EVAL", "status": "COMPLETE",
        "attributes": {"score": 1}, "causation": {"run_id": "r", "depth": 2},
    }  # fmt: skip
    assert (await send_json(trigger, {**event, "data": data})).status_code == 200
    assert await trigger.harness.value("select job_id from trigger.jobs") == "j7"
    conflict = await send_json(trigger, {**event, "subject": "j8", "data": data})
    assert faulty(conflict) == ["data.job_id"]
    wrong = await send_json(trigger, {**event, "data": {"status": "DONE", "attempt": "x", "what": 1}})
    assert set(faulty(wrong)) == {"data.attempt", "data.what"}
    refused = await send_json(trigger, {**event, "data": {"status": "DONE"}})
    assert set(faulty(refused)) == {"data.status", "data.experiment_id", "data.job_id"}
    assert faulty(await send_json(trigger, event)) == ["data"]


@pytest.mark.parametrize(
    ("event", "attributes"),
    [
        ({"type": "other"}, ["type"]),
        ({"type": "wakepoint.job.done"}, ["type"]),
        ({"type": "x", "jobstatus": "done"}, ["jobstatus"]),
        ({"type": "wakepoint.job.complete", "jobstatus": "FAILED"}, ["jobstatus"]),
        ({"type": "wakepoint.job.complete", "subject": None}, ["subject"]),
        ({"type": "wakepoint.job.complete", "experimentid": None}, ["experimentid"]),
        ({"type": "wakepoint.job.complete", "jobattempt": "two"}, ["jobattempt"]),
        ({"type": "wakepoint.job.complete", "jobattempt": -1}, ["jobattempt"]),
        ({"type": "wakepoint.job.complete", "causedepth": -1}, ["causedepth"]),
        ({"type": "wakepoint.job.complete", "data": [1]}, ["data"]),
        ({"type": "wakepoint.job.complete", "data": "x", "datacontenttype": "text/plain"}, ["datacontenttype"]),
        ({"type": "wakepoint.job.complete", "id": "", "time": "never"}, ["time", "id"]),
    ],
    ids=str,
)
async def test_what_is_wrong_is_told_by_the_name_of_the_attribute(
    trigger: TriggerSides, event: dict[str, Any], attributes: list[str]
) -> None:
    answer = await send_json(trigger, {**JSON, **event})
    assert answer.status_code == 400
    assert faulty(answer) == attributes
    assert await trigger.harness.value("select count(*) from trigger.job_events") == 0


async def test_a_job_whose_type_nobody_knows_lacks_its_type(trigger: TriggerSides) -> None:
    answer = await send_json(trigger, {**JSON, "type": "wakepoint.job.complete", "jobtype": None})
    assert faulty(answer) == ["jobtype"]


async def test_a_batch_is_answered_event_by_event(trigger: TriggerSides) -> None:
    batch: list[Any] = [
        {**JSON, "id": "1", "type": "wakepoint.job.running"},
        {**JSON, "id": "2"},
        {**JSON, "id": "3", "type": "wakepoint.job.done"},
        "no event",
        {**JSON, "id": "4", "type": "wakepoint.job.complete"},
        {**JSON, "id": "4", "type": "wakepoint.job.complete"},
    ]
    answer = await send_json(trigger, batch, "application/cloudevents-batch+json")
    assert answer.status_code == 200
    results = answer.json()["results"]
    short = "REPORT_DISPOSITION_"
    assert [result["disposition"].removeprefix(short) for result in results] == [
        "ACCEPTED", "UNSPECIFIED", "UNSPECIFIED", "UNSPECIFIED", "ACCEPTED", "DUPLICATE",
    ]  # fmt: skip
    assert [result["error"]["message"].partition(":")[0] for result in results if "error" in result] == [
        "type",
        "type",
        "body",
    ]
    assert (await send_json(trigger, [], "application/cloudevents-batch+json")).json() == {"results": []}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 405),
        ("OPTIONS", {}, 204),
        ("POST", {"content-type": "application/cloudevents+avro"}, 415),
        ("POST", {"origin": "http://evil.example"}, 403),
    ],
    ids=str,
)
async def test_the_path_behaves_like_every_other(
    trigger: TriggerSides, method: str, headers: dict[str, str], status: int
) -> None:
    answer = await trigger.http.request(method, "/v1/events", headers=headers)
    assert answer.status_code == status
    if method != "POST":
        assert answer.headers["allow"] == "OPTIONS, POST"


async def test_a_body_without_end_is_cut_off(trigger: TriggerSides) -> None:
    answer = await trigger.http.post("/v1/events", content=b" " * (2 * 2**20 + 1))
    assert answer.status_code == 413
