"""Runs that stand in line behind others with their concurrency key start, in order, when those have ended."""

from runner_service.storage import overlap, runs
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database


async def let_runs_in(database: Database, signals: Signals, limit: int = 500) -> int:
    """Make every run ready whose turn has come; how many. Found by asking, so that no end of a run can be missed."""
    async with database.connection() as connection:
        candidates = await overlap.next_in_turn(connection, limit)
    if not candidates:
        return 0

    async def let_in(connection: Connection) -> list[str]:
        locked = await runs.lock_runs(connection, sorted(candidates), skip_locked=True)
        return await overlap.let_in(connection, list(locked))

    let = await database.run(let_in)
    if let:
        signals.runs_ready()
    for run_id in let:
        signals.log_grew(run_id)
    return len(let)


async def forget_keys(database: Database, limit: int = 1000) -> None:
    """Remove what is kept for concurrency keys that are not in use."""
    async with database.connection() as connection:
        await overlap.forget_keys(connection, limit)
