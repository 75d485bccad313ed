"""Past events matched again: what should have fired and did not, once, or by force."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.integration.trigger.harness import Harness, configs, faults_of, reason_of
from tests.support.db_clock import set_clock_offset
from trigger_service.usecases import past_events, replay_events
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

LONG_AGO = Timestamp(seconds=1_000_000_000)


async def replay(service: Harness, **fields: Any) -> list[messages.Firing]:
    request = calls.ReplayEventsRequest(**{"experiment_id": "e1", "start_time": LONG_AGO, **fields})
    return list((await service.stub.ReplayEvents(request)).firings)


async def change(service: Harness, workflow_id: str, **enabled: dict[str, Any]) -> None:
    request = calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs(**enabled))
    await service.stub.UpdateTriggerConfigs(request)


async def test_what_was_missed_fires_once_and_what_fired_does_not_again(service: Harness) -> None:
    fired, missed = await service.workflow(TRAIN={}), await service.workflow()
    await service.report(job_id="a", event_id="a")
    await service.report(job_id="b", event_id="b", job_type="EVAL")
    await change(service, missed, TRAIN={})
    assert await replay(service, experiment_id="e2") == []
    [made] = await replay(service)
    assert (made.workflow_id, made.event_id, made.replay) == (missed, "a", 1)
    assert made.state == messages.FIRING_STATE_QUEUED
    assert await replay(service) == []
    assert len(await service.firings(fired)) == 1
    await service.dispatcher().dispatch_once()
    assert len(service.peer.runs) == 2
    assert service.peer.requests[made.firing_id].source.event_id == "a"


async def test_force_fires_again_under_the_next_number_and_a_repeated_request_nothing_more(service: Harness) -> None:
    one, other = await service.workflow(TRAIN={}), await service.workflow(TRAIN={})
    await service.report()
    first = await replay(service, force=True, request_id="r1")
    again = await replay(service, force=True, request_id="r1")
    assert [firing.firing_id for firing in first] == [firing.firing_id for firing in again]
    assert {(firing.workflow_id, firing.replay) for firing in first} == {(one, 1), (other, 1)}
    [second] = await replay(service, force=True, request_id="r2", workflow_id=one)
    assert (second.workflow_id, second.replay) == (one, 2)
    with pytest.raises(grpc.aio.AioRpcError) as reused:
        await replay(service, force=False, request_id="r2", workflow_id=one)
    assert (reused.value.code(), reason_of(reused.value)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_replays_at_once_fire_what_was_missed_once(service: Harness) -> None:
    missed = await service.workflow()
    for number in range(20):
        await service.report(job_id=f"j{number}")
    await change(service, missed, TRAIN={})
    answers = await asyncio.gather(*(replay(service) for _ in range(6)), replay(service, request_id="x"))
    assert sum(len(answer) for answer in answers) == 20
    assert len(await service.firings(missed, page_size=1000)) == 20
    forced = await asyncio.gather(*(replay(service, force=True, request_id=f"f{n}") for n in range(3)))
    assert sorted(firing.replay for answer in forced for firing in answer) == [2] * 20 + [3] * 20 + [4] * 20


async def test_a_dry_run_says_the_same_and_does_nothing(service: Harness) -> None:
    missed = await service.workflow()
    limited = await service.workflow(name="limited")
    for number in range(3):
        await service.report(job_id=f"j{number}")
    await change(service, missed, TRAIN={})
    await change(service, limited, TRAIN={"max_firings": 2})
    tried = await replay(service, dry_run=True, request_id="r", force=True)
    assert [firing.workflow_id for firing in tried].count(missed) == 3
    assert [firing.workflow_id for firing in tried].count(limited) == 2
    assert {firing.firing_id for firing in tried} == {""}
    assert await service.value("select count(*) from trigger.firings") == 0
    assert await service.value("select count(*) from trigger.requests where method = 'ReplayEvents'") == 0
    assert len(await replay(service, request_id="r", force=True)) == 5


async def test_a_replay_goes_by_the_rules_of_now(service: Harness) -> None:
    held = await service.workflow(name="held")
    narrow = await service.workflow(name="narrow")
    off = await service.workflow(name="off")
    await service.report(job_id="a", event_id="a")
    await service.report(job_id="deep", event_id="deep", causation=messages.Causation(depth=9))
    await change(service, held, TRAIN={})
    await change(service, narrow, TRAIN={"condition": "job.job_id == 'nobody'"})
    await service.execute("update trigger.workflows set paused = true where workflow_id = $1", held)
    [made] = await replay(service)
    assert (made.workflow_id, made.event_id, made.held_by) == (held, "a", "PAUSE")
    assert not await service.firings(off)


async def test_only_events_of_the_range_are_replayed(service: Harness) -> None:
    missed = await service.workflow()
    for hour in range(4):
        async with service.database.connection() as connection:
            await set_clock_offset(connection, "trigger", timedelta(hours=hour))
        await service.report(job_id=f"j{hour}", event_id=f"j{hour}")
    await change(service, missed, TRAIN={})
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(await service.value("select create_time from trigger.job_events where event_id = 'j1'"))
    end.FromDatetime(await service.value("select create_time from trigger.job_events where event_id = 'j3'"))
    made = await replay(service, start_time=start, end_time=end)
    assert [firing.event_id for firing in made] == ["j1", "j2"]


async def test_what_a_replay_cannot_do_is_told_at_once(service: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as bad:
        await service.stub.ReplayEvents(calls.ReplayEventsRequest(force=True))
    assert [field for field, _ in faults_of(bad.value)] == ["experiment_id", "request_id", "start_time"]
    with pytest.raises(grpc.aio.AioRpcError) as backwards:
        await replay(service, end_time=Timestamp(seconds=5))
    assert [field for field, _ in faults_of(backwards.value)] == ["end_time"]
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await replay(service, workflow_id="nobody")
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    workflow_id = await service.workflow()
    await service.report(job_id="a")
    await service.report(job_id="b")
    await change(service, workflow_id, TRAIN={})
    for module, name, reason in (
        (past_events, "MAX_EVENTS", "TOO_MANY_EVENTS"),
        (replay_events, "MAX_FIRINGS", "TOO_MANY_FIRINGS"),
    ):
        with monkeypatch.context() as lowered:
            lowered.setattr(module, name, 1)
            with pytest.raises(grpc.aio.AioRpcError) as too_many:
                await replay(service)
        assert reason_of(too_many.value) == reason
    assert await service.value("select count(*) from trigger.firings") == 0


async def test_an_event_that_was_folded_into_anothers_firing_is_not_replayed(service: Harness) -> None:
    debounce = messages.Debounce()
    debounce.quiet_period.FromSeconds(60)
    await service.workflow(TRAIN={"debounce": debounce})
    for job_id in ("a", "b"):
        await service.report(job_id=job_id)
    assert await replay(service) == []
