"""WatchRun: from any place in the log, without gaps, to the end of the run."""

import asyncio
from collections.abc import AsyncIterator
from types import AsyncGeneratorType

import pytest

from runner_service.domain.history import EventType
from runner_service.usecases.cancel_run import cancel_run
from runner_service.usecases.watch_run import PAGE, POLL_SECONDS, LogWatch, watch_run
from runner_service.worker.hub import Hub
from tests.integration.runner.rpc.harness import Service, faulty_fields, refusal, wake_request
from tests.support.conditions import eventually
from tests.support.runner import chain, node
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.database import Database
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.runner.v1.runner_pb2 import RunEvent

GRAPH = chain(node("c", "Constant", value=1), node("m", "Manual"), node("o", "Output"))


def watched(service: Service, run_id: str, after_seq: int = 0) -> AsyncIterator[RunEvent]:
    stream = service.stub.WatchRun(calls.WatchRunRequest(run_id=run_id, after_seq=after_seq))
    return aiter(stream)


async def types(stream: AsyncIterator[RunEvent], count: int) -> list[str]:
    """The types of the next so many lines."""
    return [(await anext(stream)).event_type for _ in range(count)]


async def test_a_watch_follows_a_run_from_its_first_line_to_its_last(live: Service) -> None:
    run_id = await live.start(GRAPH)
    stream = watched(live, run_id)
    seen = [await anext(stream)]
    while seen[-1].event_type != EventType.NODE_STARTED:
        seen.append(await anext(stream))
    await live.stub.WakeUp(wake_request(run_id=run_id, node_id="m"))
    seen += [event async for event in stream]
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].event_type == "RunCompleted"


async def test_a_watch_begins_after_the_given_line(service: Service) -> None:
    run_id = await service.start(GRAPH)
    await service.stub.CancelRun(calls.CancelRunRequest(run_id=run_id))
    assert [event.seq async for event in watched(service, run_id)] == [1, 2, 3]
    assert [event.seq async for event in watched(service, run_id, after_seq=2)] == [3]
    assert [event.seq async for event in watched(service, run_id, after_seq=3)] == []
    assert [event.seq async for event in watched(service, run_id, after_seq=99)] == []


async def test_a_step_of_this_process_is_told_without_any_time_passing(service: Service) -> None:
    run_id = await service.start(GRAPH)
    stream = watched(service, run_id)
    assert await types(stream, 2) == ["RunCreated", "RunQueued"]
    await service.stub.WakeUp(wake_request(run_id=run_id, node_id="m"))
    assert await types(stream, 1) == ["TriggerEventReceived"]
    await service.stub.CancelRun(calls.CancelRunRequest(run_id=run_id))
    assert [event.event_type async for event in stream] == ["RunCancelled"]


async def test_a_step_of_another_replica_is_found_by_the_next_look(
    service: Service, manual_clock: ManualClock, runner_db: Database
) -> None:
    run_id = await service.start(GRAPH)
    stream = watched(service, run_id)
    await types(stream, 2)
    elsewhere = Hub(runner_db, lambda _: None)
    await cancel_run(runner_db, elsewhere, run_id, "from elsewhere", None)
    await eventually(lambda: manual_clock.waiting > 0)
    await manual_clock.advance(POLL_SECONDS)
    assert [event.event_type async for event in stream] == ["RunCancelled"]


async def test_followers_of_one_run_are_all_told_and_leave_nothing_behind(service: Service) -> None:
    run_id, other = await service.start(GRAPH), await service.start(GRAPH)
    streams = [watched(service, run_id) for _ in range(5)]
    idle = watched(service, other)
    for stream in (*streams, idle):
        await types(stream, 2)
    assert service.log_watch.followers == 6
    await service.stub.CancelRun(calls.CancelRunRequest(run_id=run_id))
    assert [await types(stream, 1) for stream in streams] == [["RunCancelled"]] * 5
    await eventually(lambda: service.log_watch.followers == 1)


async def test_a_follower_that_goes_away_is_forgotten(service: Service) -> None:
    run_id = await service.start(GRAPH)
    call = service.stub.WatchRun(calls.WatchRunRequest(run_id=run_id))
    assert isinstance(await call.read(), RunEvent)
    await eventually(lambda: service.log_watch.followers == 1)
    call.cancel()
    await eventually(lambda: service.log_watch.followers == 0)
    assert not service.log_watch._followers


async def test_of_a_slow_consumer_only_a_page_is_kept(
    runner_db: Database, manual_clock: ManualClock, service: Service
) -> None:
    run_id = await service.start(GRAPH)
    lines = watch_run(runner_db, service.log_watch, run_id, 0, None)
    assert (await anext(lines)).seq == 1
    for _ in range(PAGE + 10):
        await service.stub.WakeUp(wake_request(run_id=run_id, node_id="m"))
    assert isinstance(lines, AsyncGeneratorType)
    assert lines.ag_frame is not None
    assert len(lines.ag_frame.f_locals["lines"]) == 2
    await service.stub.CancelRun(calls.CancelRunRequest(run_id=run_id))
    seen = [line.seq async for line in lines]
    assert seen == list(range(2, PAGE + 14))


async def test_a_log_that_grows_between_two_looks_is_not_missed(manual_clock: ManualClock) -> None:
    watch = LogWatch(manual_clock)
    with watch.following("r") as poke:
        watch.grew("r")
        watch.grew("r")
        assert await poke.wait(1.0) is True
        waiting = asyncio.create_task(poke.wait(1.0))
        watch.grew("another")
        await manual_clock.settle()
        assert not waiting.done()
        await manual_clock.advance(1.0)
        assert await waiting is False
    assert watch.followers == 0


@pytest.mark.parametrize("after_seq", [-1, -(2**63)])
async def test_a_negative_place_is_refused(service: Service, after_seq: int) -> None:
    run_id = await service.start(GRAPH)
    call = service.stub.WatchRun(calls.WatchRunRequest(run_id=run_id, after_seq=after_seq))
    assert faulty_fields(await refusal(call.read())) == ["after_seq"]
