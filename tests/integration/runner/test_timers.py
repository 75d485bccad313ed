"""Timers fire from the database, once each, however far away they are."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.usecases.cancel_run import cancel_run
from runner_service.usecases.fire_timers import fire_timers, seconds_to_next_timer
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.runner import Runner, chain, node
from wakepoint.nodes import Context, Node


async def move_clock(runner: Runner, offset: timedelta) -> None:
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", offset)


async def suspended_until(replica: Replicas, delay: dict[str, Any], count: int = 1) -> list[str]:
    """Runs that a replica suspended in a Delay before it stopped."""
    async with replica() as runner:
        run_ids = [await runner.start(chain(node("d", "Delay", **delay), node("o", "Output"))) for _ in range(count)]
        for run_id in run_ids:
            await runner.until(run_id, RunState.SUSPENDED)
    return run_ids


async def test_two_sweepers_at_once_fire_each_timer_once(replica: Replicas) -> None:
    run_ids = await suspended_until(replica, {"seconds": 3600}, 50)
    async with replica(claiming=False) as one, replica(claiming=False) as other:
        await move_clock(one, timedelta(hours=2))
        for _ in range(3):
            await asyncio.gather(*(fire_timers(each.database, each.hub, limit=20) for each in (one, other) * 3))
        for run_id in run_ids:
            assert await one.count(run_id, EventType.TIMER_FIRED) == 1
            assert len(await one.events(run_id)) == 1
            assert (await one.get(run_id)).run.state is RunState.QUEUED
        assert await fire_timers(one.database, one.hub) == 0


async def test_a_wait_of_thirty_years_fires_after_thirty_years(replica: Replicas) -> None:
    begin = datetime.now(UTC)  # noqa: TID251 -- the database's clock is real here, before it is moved
    (run_id,) = await suspended_until(replica, {"until": (begin + timedelta(days=365 * 30)).isoformat()})
    async with replica(claiming=False) as outside:
        await move_clock(outside, timedelta(days=365 * 30 - 1))
        assert await fire_timers(outside.database, outside.hub) == 0
        assert 86_000 < (await seconds_to_next_timer(outside.database) or 0) < 86_400 * 1.01
        await move_clock(outside, timedelta(days=365 * 30 + 1))
        assert await fire_timers(outside.database, outside.hub) == 1
    async with replica() as runner:
        await runner.until(run_id, RunState.COMPLETED)


async def test_a_timer_that_fell_due_while_nothing_ran_fires_when_somebody_is_there(replica: Replicas) -> None:
    (run_id,) = await suspended_until(replica, {"seconds": 3600})
    async with replica(claiming=False) as outside:
        await move_clock(outside, timedelta(days=3))
    async with replica() as runner:
        await runner.until(run_id, RunState.COMPLETED)
        (fired,) = [e for e in await runner.log(run_id) if e.event_type is EventType.TIMER_FIRED]
        assert datetime.fromisoformat(fired.payload["wake_time"]) < fired.create_time - timedelta(days=2)


async def test_an_event_before_its_time_does_not_end_a_delay_and_the_timer_still_fires(replica: Replicas) -> None:
    (run_id,) = await suspended_until(replica, {"seconds": 3600})
    async with replica() as runner:
        await runner.wake(run_id, "d", "early", "e1")

        async def waits_again() -> bool:
            return await runner.count(run_id, EventType.RUN_SUSPENDED) == 2

        await eventually(waits_again)
        assert await runner.events(run_id) == {"e1": ("CONSUMED", None)}
    async with replica(claiming=False) as outside:
        await move_clock(outside, timedelta(hours=2))
        assert await fire_timers(outside.database, outside.hub) == 1
    async with replica() as runner:
        await runner.until(run_id, RunState.COMPLETED)


async def test_the_timers_of_a_cancelled_run_are_gone(replica: Replicas) -> None:
    (run_id,) = await suspended_until(replica, {"seconds": 3600})
    async with replica(claiming=False) as outside:
        await cancel_run(outside.database, outside.hub, run_id, "enough", None)
        await move_clock(outside, timedelta(hours=2))
        assert await fire_timers(outside.database, outside.hub) == 0
        assert await outside.count(run_id, EventType.TIMER_FIRED) == 0


async def test_a_timer_of_a_run_that_somebody_decides_about_is_left_for_the_next_sweep(replica: Replicas) -> None:
    (run_id,) = await suspended_until(replica, {"seconds": 3600})
    async with replica(claiming=False) as outside:
        await move_clock(outside, timedelta(hours=2))
        async with outside.database.transaction() as deciding:
            await deciding.execute("select from runner.runs for no key update")
            async with asyncio.timeout(5):
                assert await fire_timers(outside.database, outside.hub) == 0
        assert await fire_timers(outside.database, outside.hub) == 1
        assert await outside.count(run_id, EventType.TIMER_FIRED) == 1


async def test_a_node_that_suspends_again_and_again_until_new_times_is_woken_each_time(replica: Replicas) -> None:
    class Pacing(Node):
        async def process(self, context: Context) -> Any:
            done = (await self.get_saved_state()).get("done", -1) + 1
            if done < 3:
                await self.suspend_workflow("pause", {"done": done}, wake_time=context.now() + timedelta(seconds=0.05))
            return done

    async with replica(nodes=[Pacing]) as runner:
        run_id = await runner.start(chain(node("p", "Pacing"), node("o", "Output")))
        assert (await runner.until(run_id, RunState.COMPLETED)).outputs == {"o": 3}
        assert await runner.count(run_id, EventType.TIMER_FIRED) == 3
