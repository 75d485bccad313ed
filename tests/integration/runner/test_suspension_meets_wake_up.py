"""A suspension and a wake-up at the same moment: two real connections, one of which is seen waiting for the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.domain.runs import Disposition
from runner_service.usecases.deliver_events import deliver, deliver_events
from tests.integration.runner.conftest import Replicas
from tests.integration.runner.moves import Moves, wake
from tests.support.conditions import eventually
from tests.support.postgres import lock_waiters
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.database import Database

MANUAL = chain(node("m", "Manual"), node("o", "Output"))


class Undo(Exception):
    """Rolls a transaction back."""


@pytest.fixture
async def outside(replica: Replicas) -> AsyncIterator[Runner]:
    """Use-cases without a replica, so that the test itself holds the run."""
    async with replica(claiming=False) as runner:
        yield runner


async def somebody_waits(database: Database) -> list[int]:
    async def waiters() -> list[int]:
        async with database.connection() as connection:
            return await lock_waiters(connection)

    return await eventually(waiters)


async def test_a_wake_up_during_a_suspension_waits_for_it_and_then_wakes_the_run(outside: Runner) -> None:
    moves = await Moves.of_running(outside, MANUAL)
    async with outside.database.transaction() as half_done:
        assert await moves.suspend(half_done) == "committed"
        waking = asyncio.create_task(deliver_events(outside.database, outside.hub, [wake(moves.run_id, "e1")]))
        await somebody_waits(outside.database)
        assert not waking.done()
    (result,) = await waking
    assert result.disposition is Disposition.DELIVERED
    assert (await outside.get(moves.run_id)).run.state is RunState.QUEUED


async def test_a_suspension_during_a_wake_up_waits_for_it_and_is_refused(outside: Runner) -> None:
    moves = await Moves.of_running(outside, MANUAL)
    async with outside.database.transaction() as half_done:
        delivered = await deliver(half_done, [wake(moves.run_id, "e1")])
        assert delivered.results[0].disposition is Disposition.BUFFERED
        suspending = asyncio.create_task(outside.database.run(moves.suspend))
        await somebody_waits(outside.database)
        assert not suspending.done()
    assert await suspending == "refused"
    assert (await outside.get(moves.run_id)).run.state is RunState.RUNNING
    assert await outside.waits(moves.run_id) == {}
    moves.seen = 1
    assert await outside.database.run(moves.suspend) == "committed", "it has read the event now"


async def test_a_wake_up_whose_transaction_fails_does_not_hold_a_suspension_back(outside: Runner) -> None:
    moves = await Moves.of_running(outside, MANUAL)
    with suppress(Undo):
        async with outside.database.transaction() as half_done:
            await deliver(half_done, [wake(moves.run_id, "e1")])
            suspending = asyncio.create_task(outside.database.run(moves.suspend))
            await somebody_waits(outside.database)
            raise Undo
    assert await suspending == "committed"
    assert await outside.events(moves.run_id) == {}


async def test_a_wake_up_waits_for_a_suspension_that_fails_and_is_kept(outside: Runner) -> None:
    moves = await Moves.of_running(outside, MANUAL)
    with suppress(Undo):
        async with outside.database.transaction() as half_done:
            await moves.suspend(half_done)
            waking = asyncio.create_task(deliver_events(outside.database, outside.hub, [wake(moves.run_id, "e1")]))
            await somebody_waits(outside.database)
            raise Undo
    (result,) = await waking
    assert result.disposition is Disposition.BUFFERED


async def test_a_whole_run_meets_its_wake_up_in_the_middle_of_suspending(
    replica: Replicas, manual_clock: ManualClock
) -> None:
    async with replica(clock=manual_clock) as runner:
        run_id = await runner.start(MANUAL)
        await runner.until_hot(run_id, "m")
        async with runner.database.transaction() as half_done:
            await deliver(half_done, [wake(run_id, "e1")])
            await manual_clock.advance(300)
            await somebody_waits(runner.database)
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert run.outputs["o"]["event_id"] == "e1"
        assert await runner.count(run_id, EventType.RUN_SUSPENDED) == 0


async def test_a_whole_run_is_woken_in_the_middle_of_being_suspended(
    replica: Replicas, manual_clock: ManualClock
) -> None:
    async with replica(clock=manual_clock) as runner:
        run_id = await runner.start(MANUAL)
        await runner.until_hot(run_id, "m")
        async with runner.database.transaction() as lock:
            await lock.execute("select from runner.runs for no key update")
            await manual_clock.advance(300)
            await somebody_waits(runner.database)
            waking = asyncio.create_task(runner.wake(run_id, "m", None, "e1"))

            async def both_wait() -> bool:
                return len(await somebody_waits(runner.database)) == 2

            await eventually(both_wait)
        assert (await waking).disposition in (Disposition.DELIVERED, Disposition.BUFFERED)
        await runner.until(run_id, RunState.COMPLETED)
        assert await runner.events(run_id) == {"e1": ("CONSUMED", None)}


async def test_an_event_that_meets_the_closing_of_its_node_is_dead_lettered_with_it(
    replica: Replicas, manual_clock: ManualClock
) -> None:
    graph = {"nodes": [node("m", "Manual"), node("other", "Manual")], "edges": []}
    async with replica(clock=manual_clock) as holder, replica(claiming=False) as elsewhere:
        run_id = await holder.start(graph)
        await holder.until_hot(run_id, "m", "other")
        await elsewhere.wake(run_id, "m", None, "e1")
        async with holder.database.transaction() as half_done:
            await deliver(half_done, [wake(run_id, "e2")])
            holder.hub.inbox_changed([run_id])  # it reads e1, is done with its only event, and wants to say so
            await somebody_waits(holder.database)

        async def settled() -> bool:
            return (await holder.events(run_id))["e2"][0] == "DEAD_LETTERED"

        await eventually(settled)
        run = (await holder.get(run_id)).run
        assert (run.state, (await holder.events(run_id))["e1"][0]) == (RunState.RUNNING, "CONSUMED")
        await holder.wake(run_id, "other")
        await holder.until(run_id, RunState.COMPLETED)
