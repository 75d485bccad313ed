"""ListTriggerEvents, RedeliverTriggerEvents, UpdateSuspended and GetRunnerStats over gRPC."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from google.protobuf import json_format

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from tests.integration.runner.rpc.harness import Service, faulty_fields, plain, refusal, wake_request
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from wakepoint.runner.v1 import runner_service_pb2 as calls

ENDLESS = chain(node("m", "Manual", inactivity_timeout_seconds=0, max_events=0), node("o", "Output"))


def request(kind: Any, **fields: Any) -> Any:
    return json_format.ParseDict(fields, kind())


async def wake(service: Service, run_id: str, event_id: str, payload: Any = None) -> None:
    event = {"eventId": event_id, "payload": payload}
    await service.stub.WakeUp(wake_request(runId=run_id, nodeId="m", event=event))


async def inbox(service: Service, run_id: str, **fields: Any) -> list[dict[str, Any]]:
    asked = request(calls.ListTriggerEventsRequest, runId=run_id, nodeId="m", **fields)
    found: list[dict[str, Any]] = plain(await service.stub.ListTriggerEvents(asked)).get("events", [])
    return found


def redelivery(run_id: str, *event_ids: str, request_id: str = "", node_id: str = "m") -> Any:
    fields = {"runId": run_id, "nodeId": node_id, "eventIds": list(event_ids), "requestId": request_id}
    return request(calls.RedeliverTriggerEventsRequest, **fields)


def change(run_id: str, **fields: Any) -> Any:
    return request(calls.UpdateSuspendedRequest, runId=run_id, nodeId="m", **fields)


async def consumed(service: Service, run_id: str, count: int) -> None:
    async def all_consumed() -> bool:
        states = Counter(event["state"] for event in await inbox(service, run_id))
        return states == {"TRIGGER_EVENT_STATE_CONSUMED": count}

    await eventually(all_consumed)


async def test_an_inbox_is_listed_page_by_page_and_by_state(service: Service) -> None:
    run_id = await service.start(ENDLESS)
    for number in range(5):
        await wake(service, run_id, f"e{number}", {"n": number})
    seen, token = [], ""
    while True:
        page = await service.stub.ListTriggerEvents(
            request(calls.ListTriggerEventsRequest, runId=run_id, nodeId="m", pageSize=2, pageToken=token)
        )
        seen += [(event.inbox_seq, event.event.event_id) for event in page.events]
        if not (token := page.next_page_token):
            break
    assert seen == [(n + 1, f"e{n}") for n in range(5)]
    (first, *_) = await inbox(service, run_id, states=["TRIGGER_EVENT_STATE_PENDING"])
    assert first["event"]["payload"] == {"n": 0.0}
    assert await inbox(service, run_id, states=["TRIGGER_EVENT_STATE_EXPIRED"]) == []


async def test_the_inbox_of_no_node_is_not_found(service: Service) -> None:
    run_id = await service.start(ENDLESS)
    for wrong in ({"runId": run_id, "nodeId": "x"}, {"runId": run_id, "nodeId": "m", "experimentId": "e2"}):
        asked = request(calls.ListTriggerEventsRequest, **wrong)
        assert isinstance(await refusal(service.stub.ListTriggerEvents(asked)), NotFound)


async def test_a_consumed_event_comes_again_as_a_new_one_and_a_repeated_request_brings_no_more(
    live: Service, runner: Runner
) -> None:
    run_id = await live.start(ENDLESS)
    await runner.until(run_id, RunState.SUSPENDED)
    await wake(live, run_id, "e1", "hello")
    await consumed(live, run_id, 1)
    asked = redelivery(run_id, "e1", request_id="r1")
    answers = await asyncio.gather(*(live.stub.RedeliverTriggerEvents(asked) for _ in range(8)))
    assert {answer.events[0].inbox_seq for answer in answers} == {2}
    await consumed(live, run_id, 2)
    again = (await inbox(live, run_id))[1]["event"]
    assert again["event_id"].startswith("e1#")
    assert again["payload"] == "hello"
    assert again["extensions"] == {"redelivers": "e1"}
    assert await runner.count(run_id, EventType.TRIGGER_EVENT_REDELIVERED, "m") == 1


async def test_redelivering_what_is_pending_unknown_or_for_a_node_that_ended_is_refused(service: Service) -> None:
    run_id = await service.start(ENDLESS)
    await wake(service, run_id, "e1")
    stub = service.stub
    assert isinstance(await refusal(stub.RedeliverTriggerEvents(redelivery(run_id, "e1"))), FailedPrecondition)
    assert isinstance(await refusal(stub.RedeliverTriggerEvents(redelivery(run_id, "e2"))), NotFound)
    assert isinstance(await refusal(stub.RedeliverTriggerEvents(redelivery(run_id, node_id="x"))), NotFound)
    await stub.RedeliverTriggerEvents(redelivery(run_id, request_id="r1"))
    reused = await refusal(stub.RedeliverTriggerEvents(redelivery(run_id, "e1", request_id="r1")))
    assert isinstance(reused, AlreadyExists)
    await stub.CancelRun(calls.CancelRunRequest(run_id=run_id))
    assert isinstance(await refusal(stub.RedeliverTriggerEvents(redelivery(run_id, "e1"))), FailedPrecondition)


async def test_a_changed_state_is_what_the_node_finds_when_it_resumes(live: Service, runner: Runner) -> None:
    run_id = await live.start(ENDLESS)
    await runner.until(run_id, RunState.SUSPENDED)
    node_after = await live.stub.UpdateSuspended(
        change(run_id, state={"note": "changed"}, priority=7, expireTime="2999-01-01T00:00:00Z")
    )
    assert plain(node_after)["state"] == {"note": "changed"}
    assert (node_after.priority, node_after.expire_time.ToJsonString()) == (7, "2999-01-01T00:00:00Z")
    await wake(live, run_id, "e1")
    await consumed(live, run_id, 1)
    (resumed,) = [line for line in await runner.log(run_id) if line.event_type == "NodeResumed"]
    assert resumed.payload["state"]["note"] == "changed"


async def test_a_mask_changes_what_it_names_and_nothing_else(live: Service, runner: Runner) -> None:
    run_id = await live.start(ENDLESS)
    await runner.until(run_id, RunState.SUSPENDED)
    before = await live.stub.UpdateSuspended(change(run_id, priority=3, expireTime="2999-01-01T00:00:00Z"))
    after = await live.stub.UpdateSuspended(change(run_id, priority=9, state={"a": 1}, updateMask="expireTime"))
    assert not after.HasField("expire_time"), "named but absent: never"
    assert (after.priority, after.state) == (3, before.state)


async def test_a_wait_that_is_ended_by_hand_skips_its_node(live: Service, runner: Runner) -> None:
    run_id = await live.start(ENDLESS)
    await runner.until(run_id, RunState.SUSPENDED)
    await live.stub.UpdateSuspended(change(run_id, expireNow=True))
    await runner.until(run_id, RunState.COMPLETED)
    error = await refusal(live.stub.UpdateSuspended(change(run_id, priority=1)))
    assert isinstance(error, NotFound)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"priority": 101}, "priority"),
        ({"updateMask": "reason"}, "update_mask"),
        ({}, "update_mask"),
        ({"state": {"text": "x" * 70_000}}, "state"),
    ],
)
async def test_a_change_that_cannot_be_kept_is_refused(service: Service, fields: dict[str, Any], field: str) -> None:
    run_id = await service.start(ENDLESS)
    error = await refusal(service.stub.UpdateSuspended(change(run_id, **fields)))
    assert isinstance(error, InvalidArgument)
    assert faulty_fields(error) == [field]


async def test_stats_count_runs_waits_and_what_is_ready(service: Service, runner: Runner) -> None:
    first = await service.start(ENDLESS)
    await runner.until(first, RunState.SUSPENDED)
    await service.start(ENDLESS, experimentId="e2")
    stats = plain(await service.stub.GetRunnerStats(calls.GetRunnerStatsRequest(experiment_id="e1")))
    assert stats["runs"] == [{"state": "RUN_STATE_SUSPENDED", "count": "1"}]
    assert stats["waits"] == [{"node_type": "Manual", "count": "1"}]
    assert "oldest_ready_age" not in stats
    await wake(service, first, "e1")
    await consumed(service, first, 1)
    latency = runner.replica.worker.vitals.wake_latency()
    assert list(latency) == [0.5, 0.9, 0.99]
    assert all(0 <= span.total_seconds() < 10 for span in latency.values())


async def test_stats_tell_how_long_the_oldest_ready_run_has_waited(service: Service) -> None:
    await service.start(ENDLESS)
    stats = await service.stub.GetRunnerStats(calls.GetRunnerStatsRequest())
    assert stats.ready_depth == 1
    assert stats.HasField("oldest_ready_age")
