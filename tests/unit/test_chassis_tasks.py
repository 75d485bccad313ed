import asyncio
import random
from itertools import pairwise

import pytest
import structlog

from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.tasks import Background, Poke, backoff


@pytest.fixture
def crashed() -> list[str]:
    return []


@pytest.fixture
def background(manual_clock: ManualClock, crashed: list[str]) -> Background:
    return Background(manual_clock, random.Random(1), crashed.append)


async def test_a_crashed_loop_is_logged_counted_and_started_again(
    background: Background, manual_clock: ManualClock, crashed: list[str]
) -> None:
    starts: list[float] = []

    async def loop() -> None:
        starts.append(manual_clock.monotonic())
        if len(starts) < 4:
            raise LookupError("broken")
        await asyncio.Event().wait()

    with structlog.testing.capture_logs() as logs:
        background.spawn("dispatcher", loop)
        await manual_clock.advance(10)
    assert len(starts) == 4
    assert background.crashes == {"dispatcher": 3}
    assert crashed == ["dispatcher"] * 3
    assert [(entry["loop"], entry["failures_in_a_row"]) for entry in logs] == [("dispatcher", n) for n in (1, 2, 3)]
    assert all(isinstance(entry["exc_info"], LookupError) for entry in logs)
    await background.stop()


async def test_pauses_grow_while_a_loop_keeps_crashing_and_start_over_once_it_ran_well(
    background: Background, manual_clock: ManualClock
) -> None:
    starts: list[float] = []

    async def loop() -> None:
        starts.append(manual_clock.monotonic())
        if len(starts) == 5:
            await manual_clock.sleep(100)
        raise LookupError("broken")

    background.spawn("loop", loop)
    await manual_clock.advance(110)
    pauses = [later - earlier for earlier, later in pairwise(starts[:5])]
    assert all(later > earlier for earlier, later in pairwise(pauses[::2]))
    assert starts[5] - starts[4] - 100 <= 0.1
    await background.stop()


async def test_a_loop_that_returns_is_not_started_again(background: Background, manual_clock: ManualClock) -> None:
    runs: list[int] = []

    async def loop() -> None:
        await asyncio.sleep(0)
        runs.append(1)

    background.spawn("once", loop)
    await manual_clock.advance(60)
    assert len(runs) == 1
    assert background.running == frozenset()


async def test_stop_cancels_every_loop_and_waits_for_its_cleanup(
    background: Background, manual_clock: ManualClock
) -> None:
    cleaned: list[str] = []

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("done")

    background.spawn("a", loop)
    background.spawn("b", loop)
    await manual_clock.settle()
    assert background.running == {"a", "b"}
    await background.stop()
    assert cleaned == ["done", "done"]
    assert background.running == frozenset()
    with pytest.raises(RuntimeError, match="stopping"):
        background.spawn("c", loop)


async def test_a_loop_that_ignores_its_cancellation_does_not_hold_up_the_stop(
    background: Background, manual_clock: ManualClock
) -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    background.spawn("stubborn", stubborn)
    await manual_clock.settle()
    with structlog.testing.capture_logs() as logs:
        stopping = asyncio.create_task(background.stop(grace=5))
        await manual_clock.advance(5)
        await stopping
    assert logs[0]["loops"] == ["stubborn"]
    release.set()
    await manual_clock.settle()
    assert background.running == frozenset()


async def test_a_name_is_used_by_one_loop_at_a_time(background: Background) -> None:
    background.spawn("a", asyncio.Event().wait)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="running already"):
        background.spawn("a", asyncio.Event().wait)  # type: ignore[arg-type]
    await background.stop()


def test_backoff_doubles_up_to_its_limit_with_jitter() -> None:
    rng = random.Random(7)
    for attempt, full in [(1, 1.0), (2, 2.0), (5, 16.0), (8, 60.0), (5000, 60.0)]:
        found = {backoff(attempt, rng, first=1.0, longest=60.0) for _ in range(50)}
        assert all(full / 2 <= seconds <= full for seconds in found)
        assert len(found) > 1


async def test_many_pokes_are_one_and_a_poke_with_nobody_waiting_is_kept(manual_clock: ManualClock) -> None:
    poke = Poke(manual_clock)
    poke.poke()
    poke.poke()
    assert await poke.wait(10) is True
    waiting = asyncio.create_task(poke.wait(10))
    await manual_clock.advance(10)
    assert await waiting is False


async def test_a_poke_wakes_the_waiter_before_its_time(manual_clock: ManualClock) -> None:
    poke = Poke(manual_clock)
    waiting = asyncio.create_task(poke.wait(10))
    await manual_clock.advance(3)
    poke.poke()
    assert await waiting is True
    assert manual_clock.monotonic() == 3
