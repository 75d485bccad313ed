"""Runs whose graphs need node types that no replica has."""

from collections.abc import Sequence
from uuid import UUID

from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "node_types.sql")


async def unrunnable_runs(connection: Connection, limit: int) -> list[str]:
    """Of the `limit` runs that were ready first, those that nobody alive can execute: to be locked first."""
    return [str(row["run_id"]) for row in await connection.fetch(QUERIES["unrunnable_runs"], limit)]


async def suspend_unrunnable(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    """Suspend those of the locked runs that nobody alive can execute, naming what is missing; their ids."""
    return await _changed(connection, "suspend_unrunnable", run_ids)


async def runnable_again(connection: Connection, limit: int) -> list[str]:
    """Runs suspended for that whose types somebody alive has now: candidates, to be locked first."""
    return [str(row["run_id"]) for row in await connection.fetch(QUERIES["runnable_again"], limit)]


async def queue_runnable(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    """Make those of the locked runs ready that were suspended for that; their ids."""
    return await _changed(connection, "queue_runnable", run_ids)


async def _changed(connection: Connection, name: str, run_ids: Sequence[str]) -> list[str]:
    rows = await connection.fetch(QUERIES[name], [UUID(run_id) for run_id in run_ids])
    return [str(row["run_id"]) for row in rows]
