"""Runs of dead replicas go on elsewhere."""

from collections.abc import Mapping
from datetime import timedelta

from runner_service.domain.projection import RunState
from runner_service.storage import replicas, runs
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database

BATCH = 500


async def take_over_runs(database: Database, signals: Signals, max_crashes: int) -> int:
    """Bury replicas whose lease has run out and make their runs ready; how many runs were taken, at most BATCH."""
    async with database.connection() as connection:
        await replicas.bury_replicas(connection)
        orphans = await replicas.orphaned_runs(connection, BATCH)
    if not orphans:
        return 0
    taken = await database.run(lambda connection: _take(connection, orphans, max_crashes, None))
    _announce(signals, taken)
    return len(taken)


async def give_up_run(database: Database, signals: Signals, run_id: str, replica_id: str, max_crashes: int) -> None:
    """This replica cannot go on with the run: somebody else may try, up to `max_crashes` times."""
    taken = await database.run(lambda connection: _take(connection, [run_id], max_crashes, replica_id))
    _announce(signals, taken)


async def _take(
    connection: Connection, run_ids: list[str], max_crashes: int, holder: str | None
) -> dict[str, RunState]:
    locked = await runs.lock_runs(connection, sorted(run_ids), skip_locked=holder is None)
    error = {
        "type": "ReplicaLost",
        "message": f"executing a node of this run took its replica down {max_crashes} times in a row",
        "traceback": "",
    }
    return await replicas.take_over(connection, list(locked), max_crashes=max_crashes, error=error, holder=holder)


def _announce(signals: Signals, taken: Mapping[str, RunState]) -> None:
    if RunState.QUEUED in taken.values():
        signals.runs_ready()
    if RunState.FAILED in taken.values():
        signals.outbox_grew()
    for run_id in taken:
        signals.log_grew(run_id)


async def register_replica(database: Database, replica_id: str, host: str, pid: int, lease: timedelta) -> None:
    """Enter this replica among the living."""
    async with database.connection() as connection:
        await replicas.register_replica(connection, replica_id, host, pid, lease)


async def give_up_lease(database: Database, replica_id: str) -> None:
    """Leave the living: others take over at once what is still held."""
    async with database.connection() as connection:
        await replicas.give_up_lease(connection, replica_id)
