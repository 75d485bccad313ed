"""Replicas and their leases."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from runner_service.domain.projection import RunState
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "replicas.sql")


async def register_replica(
    connection: Connection, replica_id: str, host: str, pid: int, lease: timedelta, node_types: Sequence[str] | None
) -> None:
    """Enter a new replica, alive for `lease`; None: it claims runs whatever their node types."""
    values = (host, pid, lease, None if node_types is None else list(node_types))
    await connection.execute(QUERIES["register_replica"], UUID(replica_id), *values)


async def prolong_lease(connection: Connection, replica_id: str, lease: timedelta) -> bool:
    """Whether the replica is still alive; a dead one stays dead."""
    return await connection.fetchval(QUERIES["prolong_lease"], UUID(replica_id), lease) is not None


async def give_up_lease(connection: Connection, replica_id: str) -> None:
    """Declare oneself dead, so that others take over at once."""
    await connection.execute(QUERIES["give_up_lease"], UUID(replica_id))


async def bury_replicas(connection: Connection) -> list[str]:
    """Declare dead whose lease has run out; answers their ids."""
    return [str(row["replica_id"]) for row in await connection.fetch(QUERIES["bury_replicas"])]


async def orphaned_runs(connection: Connection, limit: int) -> list[str]:
    """Runs that dead replicas still hold."""
    return [str(row["run_id"]) for row in await connection.fetch(QUERIES["orphaned_runs"], limit)]


async def take_over(
    connection: Connection,
    run_ids: Sequence[str],
    *,
    max_crashes: int,
    error: Mapping[str, Any],
    holder: str | None = None,
    harmed: bool = False,
) -> dict[str, RunState]:
    """Make orphaned runs (and those that `holder` gives up) ready again, or FAILED with `error` once they have harmed
    `max_crashes` replicas in a row; the new states by id. Whether a dead holder was harmed shows in the run's row, what
    a living one says is `harmed`.
    """
    ids = [UUID(run_id) for run_id in run_ids]
    rows = await connection.fetch(QUERIES["take_over"], ids, max_crashes, dict(error), _uuid(holder), harmed)
    return {str(row["run_id"]): RunState(row["state"]) for row in rows}


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)
