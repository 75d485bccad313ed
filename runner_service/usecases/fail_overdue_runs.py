"""A run whose deadline passes is FAILED, by the database's clock; whoever holds it finds its epoch over."""

from runner_service.storage import overlap, runs
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database

REASON = "the run's deadline has passed"


async def fail_overdue_runs(database: Database, signals: Signals, limit: int = 200) -> int:
    """Fail runs that are late; how many."""
    async with database.connection() as connection:
        candidates = await overlap.overdue_runs(connection, limit)
    if not candidates:
        return 0

    async def fail(connection: Connection) -> list[str]:
        locked = await runs.lock_runs(connection, sorted(candidates), skip_locked=True)
        return await overlap.fail_overdue(connection, list(locked), REASON)

    failed = await database.run(fail)
    for run_id in failed:
        signals.run_cancelled(run_id)
        signals.log_grew(run_id)
    if failed:
        signals.outbox_grew()
    return len(failed)
