"""Runs of dead replicas go on elsewhere."""

from collections.abc import Mapping, Sequence
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
    error = _error("ReplicaLost", f"executing a node of this run took its replica down {max_crashes} times in a row")

    async def take(connection: Connection) -> dict[str, RunState]:
        locked = await runs.lock_runs(connection, sorted(orphans), skip_locked=True)
        return await replicas.take_over(connection, list(locked), max_crashes=max_crashes, error=error)

    taken = await database.run(take)
    _announce(signals, taken)
    return len(taken)


async def give_up_run(
    database: Database, signals: Signals, run_id: str, holder: str, *, max_crashes: int, fault: str = ""
) -> None:
    """The replica `holder` does not go on with the run: somebody else may. A `fault` counts like the loss of a
    replica.
    """
    error = _error("RunFault", f"this run could not be executed {max_crashes} times in a row: {fault}")

    async def give_up(connection: Connection) -> dict[str, RunState]:
        await runs.lock_runs(connection, [run_id])
        return await replicas.take_over(
            connection, [run_id], max_crashes=max_crashes, error=error, holder=holder, harmed=bool(fault)
        )

    _announce(signals, await database.run(give_up))


def _error(kind: str, message: str) -> dict[str, str]:
    return {"type": kind, "message": message, "traceback": ""}


def _announce(signals: Signals, taken: Mapping[str, RunState]) -> None:
    if RunState.QUEUED in taken.values():
        signals.runs_ready()
    if RunState.FAILED in taken.values():
        signals.outbox_grew()
    for run_id in taken:
        signals.log_grew(run_id)


async def register_replica(
    database: Database,
    replica_id: str,
    host: str,
    pid: int,
    lease: timedelta,
    node_types: Sequence[str] | None = None,
) -> None:
    """Enter this replica among the living; of `node_types` are the graphs that it can execute, None: of any."""
    async with database.connection() as connection:
        await replicas.register_replica(connection, replica_id, host, pid, lease, node_types)


async def give_up_lease(database: Database, replica_id: str) -> None:
    """Leave the living: others take over at once what is still held."""
    async with database.connection() as connection:
        await replicas.give_up_lease(connection, replica_id)
