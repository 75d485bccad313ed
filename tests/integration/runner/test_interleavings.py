"""Every two moves on one run at the same time: the second begins while the first is not committed, and what comes out
is what comes out when one follows the other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.integration.runner.conftest import Replicas
from tests.integration.runner.moves import Moves
from tests.support.conditions import eventually
from tests.support.postgres import lock_waiters
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.database import Connection, Database

GRAPH = chain(node("o", "Constant"), node("m", "Manual"))
HELD = ("suspend", "wait_in_memory", "work", "complete", "hand_back", "wake", "cancel", "take_over")
SUSPENDED = ("wake", "wake_otherwise", "fire_timer", "cancel", "take_over")
DO_NOT_WAIT = ("take_over", "fire_timer")
"""A sweep passes over what is locked and comes back."""

Move = Callable[[Connection], Awaitable[str]]


async def everything_about(runner: Runner, run_id: str) -> dict[str, Any]:
    run = (await runner.rows("select * from runner.runs where run_id = $1", run_id))[0]
    columns = (
        "state",
        "epoch",
        "step",
        "busy",
        "crashes",
        "last_seq",
        "last_inbox_seq",
        "suspended_node_ids",
        "owner_id",
    )
    return {
        "run": {name: run[name] for name in columns if name != "owner_id"},
        "owned": run["owner_id"] is not None,
        "log": [(e.event_type, e.node_id, e.activation, e.epoch) for e in await runner.log(run_id)],
        "waits": await runner.waits(run_id),
        "events": await runner.events(run_id),
    }


async def in_turn(database: Database, first: Move, second: Move) -> tuple[str, str]:
    return await database.run(first), await database.run(second)


async def at_once(database: Database, first: Move, second: Move, *, waits: bool) -> tuple[str, str]:
    async def done_or_waiting() -> bool:
        async with database.connection() as connection:
            return second_task.done() or bool(await lock_waiters(connection))

    async with database.transaction() as connection:
        first_result = await first(connection)
        second_task = asyncio.create_task(database.run(second))
        await eventually(done_or_waiting)
        assert second_task.done() is not waits
    second_result = await second_task
    return first_result, await database.run(second) if second_result == "skipped" else second_result


@pytest.mark.parametrize("second", HELD)
@pytest.mark.parametrize("first", HELD)
async def test_two_moves_on_a_held_run_are_as_if_one_followed_the_other(
    replica: Replicas, first: str, second: str
) -> None:
    async with replica(claiming=False) as runner:
        serial, concurrent = [await Moves.of_running(runner, GRAPH) for _ in range(2)]
        await _compare(runner, serial, concurrent, first, second)


@pytest.mark.parametrize("second", SUSPENDED)
@pytest.mark.parametrize("first", SUSPENDED[:-1])
async def test_two_moves_on_a_suspended_run_are_as_if_one_followed_the_other(
    replica: Replicas, first: str, second: str
) -> None:
    async with replica(claiming=False) as runner:
        serial, concurrent = [await Moves.of_suspended(runner, GRAPH) for _ in range(2)]
        await _compare(runner, serial, concurrent, first, second)


async def _compare(runner: Runner, serial: Moves, concurrent: Moves, first: str, second: str) -> None:
    expected = await in_turn(runner.database, getattr(serial, first), getattr(serial, second))
    waits = second not in DO_NOT_WAIT
    seen = await at_once(runner.database, getattr(concurrent, first), getattr(concurrent, second), waits=waits)
    assert seen == expected
    assert await everything_about(runner, concurrent.run_id) == await everything_about(runner, serial.run_id)
