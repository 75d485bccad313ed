import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from wakepoint.chassis.clock import Clock, ManualClock, SystemClock


def test_manual_time_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(datetime(2026, 3, 29, 1, 0, tzinfo=UTC))
    asyncio.run(clock.advance(90))
    assert clock.now() == datetime(2026, 3, 29, 1, 1, 30, tzinfo=UTC)
    assert clock.monotonic() == 90


async def test_sleepers_wake_in_the_order_they_are_due_at_their_own_time(manual_clock: ManualClock) -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await manual_clock.sleep(seconds)
        woken.append((name, manual_clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in [("late", 300.0), ("early", 1.5), ("middle", 60.0)]:
            group.create_task(sleeper(name, seconds))
        await manual_clock.advance(299)
        assert woken == [("early", 1.5), ("middle", 60.0)]
        await manual_clock.advance(1)
    assert woken[-1] == ("late", 300.0)


async def test_one_advance_wakes_a_loop_as_often_as_it_was_due(manual_clock: ManualClock) -> None:
    times: list[float] = []

    async def loop() -> None:
        while True:
            await manual_clock.sleep(10)
            times.append(manual_clock.monotonic())

    task = asyncio.create_task(loop())
    await manual_clock.advance(35)
    assert times == [10, 20, 30]
    task.cancel()
    await asyncio.wait([task])
    assert manual_clock.waiting == 0


async def test_a_timeout_comes_at_its_time_and_cancels_what_was_awaited(manual_clock: ManualClock) -> None:
    forever = asyncio.Event()
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await forever.wait()
        finally:
            cancelled.set()

    task = asyncio.create_task(manual_clock.wait_for(work(), 300))
    await manual_clock.advance(299.5)
    assert not task.done()
    await manual_clock.advance(0.5)
    with pytest.raises(TimeoutError):
        await task
    assert cancelled.is_set()
    assert manual_clock.waiting == 0


async def test_a_result_before_the_timeout_leaves_no_timer_behind(manual_clock: ManualClock) -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(manual_clock.wait_for(future, 300))
    await manual_clock.advance(10)
    future.set_result("done")
    assert await task == "done"
    assert manual_clock.waiting == 0
    await manual_clock.advance(1000)


async def test_a_cancelled_wait_is_cancelled_and_not_timed_out(manual_clock: ManualClock) -> None:
    task = asyncio.create_task(manual_clock.wait_for(asyncio.Event().wait(), 300))
    await manual_clock.settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert manual_clock.waiting == 0


@pytest.mark.parametrize("clock", [ManualClock(), SystemClock()], ids=["manual", "system"])
async def test_no_time_at_all_still_takes_what_is_there(clock: Clock) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(7)
    assert await clock.wait_for(queue.get(), 0) == 7
    with pytest.raises(TimeoutError):
        await clock.wait_for(queue.get(), 0)


@pytest.mark.parametrize("clock", [ManualClock(), SystemClock()], ids=["manual", "system"])
async def test_without_a_timeout_only_the_result_counts(clock: Clock) -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert await clock.wait_for(work(), None) == "done"


async def test_errors_of_what_is_awaited_come_through(manual_clock: ManualClock) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError("inside")

    with pytest.raises(LookupError, match="inside"):
        await manual_clock.wait_for(work(), 5)
    assert manual_clock.waiting == 0


async def test_the_system_clock_times_out() -> None:
    with pytest.raises(TimeoutError):
        await SystemClock().wait_for(asyncio.Event().wait(), 0.01)


def test_the_system_clock_is_aware_utc_and_never_runs_back() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    first = clock.monotonic()
    assert clock.monotonic() >= first


async def test_time_does_not_run_backwards(manual_clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="backwards"):
        await manual_clock.advance(-1)
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001
