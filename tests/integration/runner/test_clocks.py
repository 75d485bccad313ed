"""Clocks that jump, of the database and of a replica: nothing fires twice, nothing is lost, however long it waits."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.usecases.fire_timers import fire_timers
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.clock import SystemClock

HOUR = timedelta(hours=1)


@dataclass
class WrongClock(SystemClock):
    """The time of day may jump, as when somebody sets it; what is measured goes on."""

    offset: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return super().now() + self.offset


async def move_database(runner: Runner, offset: timedelta) -> None:
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", offset)


def ticking(**properties: Any) -> dict[str, Any]:
    """An endless run that gives out the time of each of its slots."""
    interval = node("i", "Interval", interval_seconds=600, max_events=0, **properties)
    slot = node("x", "Expression", expression="inputs.input.payload.scheduled_time")
    return chain(interval, slot, node("o", "Output"))


async def slots(runner: Runner, run_id: str) -> list[str]:
    """The slots that were given out, in their order."""
    return [
        event.payload["outputs"]["output"]
        for event in await runner.log(run_id)
        if event.event_type is EventType.NODE_COMPLETED and event.node_id == "x"
    ]


async def has_fired(runner: Runner, run_id: str, count: int) -> bool:
    return len(await slots(runner, run_id)) == count and not await runner.rows(
        "select from runner.runs where run_id = $1 and state <> 'SUSPENDED'", UUID(run_id)
    )


async def test_a_slot_that_has_fired_does_not_fire_again_when_the_database_is_set_back(replica: Replicas) -> None:
    clock = WrongClock()
    async with replica(clock=clock) as runner:
        run_id = await runner.start(ticking())
        await runner.until(run_id, RunState.SUSPENDED)
        for fired, offset in enumerate((timedelta(minutes=11), timedelta(minutes=21)), start=1):
            clock.offset = offset
            await move_database(runner, offset)
            await eventually(partial(has_fired, runner, run_id, fired))
        for offset in (timedelta(minutes=5), timedelta(0), -HOUR):
            await move_database(runner, offset)
            assert await fire_timers(runner.database, runner.hub) == 0
        clock.offset = timedelta(minutes=31)
        await move_database(runner, clock.offset)
        await eventually(partial(has_fired, runner, run_id, 3))
        assert len(set(await slots(runner, run_id))) == 3
        assert await runner.count(run_id, EventType.TIMER_FIRED) == 3


async def test_a_replica_that_is_set_back_between_two_slots_fires_each_once_and_none_is_left_out(
    replica: Replicas,
) -> None:
    clock = WrongClock()
    async with replica(clock=clock) as runner:
        run_id = await runner.start(ticking())
        await runner.until(run_id, RunState.SUSPENDED)
        # The database's clock is right all the time; the replica's is an hour behind, then right, then behind again.
        for fired, wrong in enumerate((-HOUR, timedelta(0), -HOUR, -2 * HOUR), start=1):
            offset = timedelta(minutes=1 + 10 * fired)
            clock.offset = offset + wrong
            await move_database(runner, offset)
            await eventually(partial(has_fired, runner, run_id, fired))
        times = [datetime.fromisoformat(text) for text in await slots(runner, run_id)]
        assert [later - earlier for earlier, later in pairwise(times)] == [timedelta(minutes=10)] * 3


async def test_a_delay_ends_once_although_its_replica_thinks_that_it_is_too_early(replica: Replicas) -> None:
    clock = WrongClock()
    async with replica(clock=clock) as runner:
        run_id = await runner.start(chain(node("d", "Delay", seconds=3600), node("o", "Output")))
        await runner.until(run_id, RunState.SUSPENDED)
        clock.offset = -3 * HOUR
        await move_database(runner, 2 * HOUR)
        await runner.until(run_id, RunState.COMPLETED)
        await move_database(runner, timedelta(0))
        assert await fire_timers(runner.database, runner.hub) == 0
        assert await runner.count(run_id, EventType.TIMER_FIRED) == 1
        assert await runner.count(run_id, EventType.NODE_COMPLETED, "d") == 1


async def test_a_database_that_is_set_back_delays_what_is_due_and_loses_nothing(replica: Replicas) -> None:
    async with replica(max_hot_waits=0) as runner:
        delayed = await runner.start(chain(node("d", "Delay", seconds=3600), node("o", "Output")))
        waiting = await runner.start(chain(node("m", "Manual"), node("o", "Output")))
        for run_id in (delayed, waiting):
            await runner.until(run_id, RunState.SUSPENDED)
        await move_database(runner, -5 * HOUR)
        # What needs no time goes on as if nothing had happened: new runs, wake-ups, claims.
        await runner.wake(waiting, "m", 1, "e1")
        await runner.until(waiting, RunState.COMPLETED)
        new = await runner.start(chain(node("c", "Constant", value=1), node("o", "Output")))
        await runner.until(new, RunState.COMPLETED)
        assert (await runner.get(delayed)).run.state is RunState.SUSPENDED
        await move_database(runner, 2 * HOUR)
        await runner.until(delayed, RunState.COMPLETED)


async def test_replicas_keep_their_leases_and_lose_no_run_when_the_database_is_set_back(replica: Replicas) -> None:
    async with replica(heartbeat_seconds=0.1) as one, replica(heartbeat_seconds=0.1) as other:
        runs = [await one.start(chain(node("m", "Manual"), node("o", "Output"))) for _ in range(6)]
        for run_id in runs:
            await one.until_hot(run_id, "m")
        for offset in (-HOUR, -2 * HOUR, timedelta(0)):
            await move_database(one, offset)
            (row,) = await one.rows("select runner.stamp() + interval '1 minute' as soon")

            async def renewed(soon: datetime = row["soon"]) -> bool:
                ends = await one.rows("select lease_expire_time as t from runner.replicas where not dead")
                return len(ends) == 2 and all(end["t"] < soon for end in ends)

            await eventually(renewed)
        await asyncio.gather(*(other.wake(run_id, "m", 1) for run_id in runs))
        for run_id in runs:
            await one.until(run_id, RunState.COMPLETED)
            assert await one.count(run_id, EventType.LEASE_TAKEN) == 0


async def test_waits_of_thirty_years_are_woken_after_thirty_years_by_delay_and_interval(replica: Replicas) -> None:
    thirty_years = timedelta(days=365.25 * 30)
    begin = datetime.now(UTC)  # noqa: TID251 -- the database's clock is real here, before it is moved
    then = begin + thirty_years
    async with replica() as runner:
        delay = await runner.start(chain(node("d", "Delay", until=then.isoformat()), node("o", "Output")))
        every = await runner.start(
            chain(node("i", "Interval", interval_seconds=thirty_years.total_seconds()), node("o", "Output"))
        )
        for run_id in (delay, every):
            await runner.until(run_id, RunState.SUSPENDED)
    async with replica(claiming=False) as outside:
        await move_database(outside, thirty_years - timedelta(days=1))
        assert await fire_timers(outside.database, outside.hub) == 0
        await move_database(outside, thirty_years + timedelta(days=1))
        assert await fire_timers(outside.database, outside.hub) == 2
    async with replica(clock=WrongClock(thirty_years + timedelta(days=1))) as runner:
        for run_id in (delay, every):
            await runner.until(run_id, RunState.COMPLETED)
            assert await runner.count(run_id, EventType.TIMER_FIRED) == 1
