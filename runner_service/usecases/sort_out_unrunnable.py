"""Runs whose node types no replica has wait as SUSPENDED, saying so, and go on when somebody has them again.

Replicas claim only what they can execute, so one without the types neither fails such a run nor turns it over and over.
"""

from collections.abc import Awaitable, Callable, Sequence

from runner_service.storage import node_types, runs
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database

Change = Callable[[Connection, Sequence[str]], Awaitable[list[str]]]


async def sort_out_unrunnable(database: Database, signals: Signals, limit: int = 1000) -> int:
    """Suspend what cannot run and make ready what can again; how many runs changed."""
    async with database.connection() as connection:
        stuck = await node_types.unrunnable_runs(connection, limit)
        free = await node_types.runnable_again(connection, limit)
    suspended = await _change(database, stuck, node_types.suspend_unrunnable)
    queued = await _change(database, free, node_types.queue_runnable)
    if queued:
        signals.runs_ready()
    for run_id in (*suspended, *queued):
        signals.log_grew(run_id)
    return len(suspended) + len(queued)


async def _change(database: Database, candidates: Sequence[str], change: Change) -> list[str]:
    if not candidates:
        return []

    async def changed(connection: Connection) -> list[str]:
        locked = await runs.lock_runs(connection, sorted(candidates), skip_locked=True)
        return await change(connection, list(locked))

    return await database.run(changed)
