"""PublishEvent and DeliverJobEvents over gRPC."""

from typing import Any

import pytest
from google.protobuf import json_format

from runner_service.domain.projection import RunState
from runner_service.rpc.convert.runs import RUN_STATES
from tests.integration.runner.rpc.harness import Service, faulty_fields, plain, refusal
from tests.support.conditions import eventually
from tests.support.runner import chain, node
from wakepoint.runner.v1 import runner_service_pb2 as calls

SUSPENDING: dict[str, Any] = {"inactivity_timeout_seconds": 0}


def publish_request(**fields: Any) -> calls.PublishEventRequest:
    return json_format.ParseDict({"experimentId": "e1", "topic": "t", **fields}, calls.PublishEventRequest())


def delivery(*events: dict[str, Any]) -> calls.DeliverJobEventsRequest:
    whole = [{"experimentId": "e1", "jobType": "TRAIN", "status": "COMPLETE", **event} for event in events]
    return json_format.ParseDict({"events": whole}, calls.DeliverJobEventsRequest())


async def outputs_of(service: Service, run_id: str) -> Any:
    async def completed() -> Any:
        run = await service.stub.GetRun(calls.GetRunRequest(run_id=run_id))
        return run if run.state == RUN_STATES[RunState.COMPLETED] else None

    return plain((await eventually(completed)).outputs)


async def suspended(service: Service) -> Any:
    async def listed() -> Any:
        return (await service.stub.ListSuspended(calls.ListSuspendedRequest())).suspended

    return (await eventually(listed))[0]


async def test_publishing_tells_whom_it_reaches_and_the_event_arrives_with_its_attributes(live: Service) -> None:
    run_id = await live.start(chain(node("t", "Topic", topic="t", **SUSPENDING), node("o", "Output")))
    assert list((await suspended(live)).topics) == ["t"]
    event = {
        "eventId": "x",
        "source": "/ci",
        "type": "com.example.built",
        "subject": "s",
        "occurTime": "2026-01-02T03:04:05Z",
        "payload": {"n": 1},
        "traceParent": "00-1-2-01",
        "extensions": {"partitionkey": "p"},
    }
    answer = await live.stub.PublishEvent(publish_request(event=event, ttl="60s"))
    told = {"woken_count": 1, "woken": [{"run_id": run_id, "workflow_id": "w1", "node_id": "t"}]}
    assert plain(answer) == told
    assert plain(await live.stub.PublishEvent(publish_request(event=event))) == told
    assert await outputs_of(live, run_id) == {
        "o": {
            "event_id": "x",
            "source": "/ci",
            "type": "com.example.built",
            "subject": "s",
            "timestamp": "2026-01-02T03:04:05+00:00",
            "occur_time": "2026-01-02T03:04:05+00:00",
            "payload": {"n": 1},
            "trace_parent": "00-1-2-01",
            "extensions": {"partitionkey": "p"},
            "topic": "t",
        }
    }


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"topic": "", "experimentId": ""}, ["experiment_id", "topic"]),
        ({"ttl": "0s"}, ["ttl"]),
        ({"ttl": "-1s"}, ["ttl"]),
        ({"event": {"source": "wakepoint/timer"}}, ["event.source"]),
        ({"event": {"payload": "x" * 2**20}}, ["event.payload"]),
    ],
)
async def test_what_cannot_be_published_is_named_and_stores_nothing(
    service: Service, fields: dict[str, Any], faulty: list[str]
) -> None:
    error = await refusal(service.stub.PublishEvent(publish_request(**fields)))
    assert faulty_fields(error) == faulty
    async with service.database.connection() as connection:
        assert await connection.fetchval("select count(*) from runner.publications") == 0


async def test_job_events_are_taken_once_and_wake_those_who_wait_for_them(live: Service) -> None:
    waiting = node("j", "JobCompleted", job_types=["TRAIN"], condition="job.attributes.n == 1", **SUSPENDING)
    run_id = await live.start(chain(waiting, node("o", "Output")))
    await suspended(live)
    told = delivery({"jobId": "j1", "eventId": "ev", "jobName": "nightly", "attributes": {"n": 1}}, {"jobId": "j2"})
    answer = plain(await live.stub.DeliverJobEvents(told))
    assert answer["results"] == [
        {"disposition": "REPORT_DISPOSITION_ACCEPTED", "woken_count": 1},
        {"disposition": "REPORT_DISPOSITION_ACCEPTED"},
    ]
    again = plain(await live.stub.DeliverJobEvents(told))
    assert again["results"] == [{"disposition": "REPORT_DISPOSITION_DUPLICATE"}] * 2
    payload = (await outputs_of(live, run_id))["o"]["payload"]
    assert payload == {
        "event_id": "ev",
        "job": {
            "experiment_id": "e1",
            "job_id": "j1",
            "attempt": 1,
            "job_type": "TRAIN",
            "job_name": "nightly",
            "status": "COMPLETE",
            "attributes": {"n": 1},
        },
    }


async def test_a_job_event_that_cannot_be_read_fails_alone(service: Service) -> None:
    told = delivery({"jobId": "j", "status": "DONE"}, {"jobId": "j"}, {"jobId": "nul\0"}, {}, {"jobId": "sound"})
    told.events[1].attributes["n"] = float("nan")
    answer = await service.stub.DeliverJobEvents(told)
    assert [bool(result.error.code) for result in answer.results] == [True, True, True, True, False]


async def test_more_than_a_thousand_job_events_are_refused(service: Service) -> None:
    error = await refusal(service.stub.DeliverJobEvents(delivery(*({"jobId": "j"} for _ in range(1001)))))
    assert faulty_fields(error) == ["events"]
