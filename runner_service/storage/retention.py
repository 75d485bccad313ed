"""Removing what is over and old enough."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "retention.sql")


async def lock_old_runs(connection: Connection, kept: timedelta, jobs_kept: timedelta, limit: int) -> list[str]:
    """Lock up to `limit` runs that finished longer than `kept` ago and that nobody else is removing."""
    rows = await connection.fetch(QUERIES["lock_old_runs"], kept, jobs_kept, limit)
    return [str(row["run_id"]) for row in rows]


async def read_rows(connection: Connection, run_id: str) -> dict[str, Any]:
    """{run, graph, inbox, jobs} as plain JSON."""
    row = await connection.fetchrow(QUERIES["read_rows"], UUID(run_id))
    assert row is not None
    return dict(row)


async def delete_runs(connection: Connection, run_ids: Sequence[str]) -> int:
    """Delete finished runs that this transaction has locked, and all that was written for them; how many."""
    return len(await connection.fetch(QUERIES["delete_runs"], [UUID(run_id) for run_id in run_ids]))


async def compacted_runs(connection: Connection, after: str | None, limit: int) -> list[str]:
    """Unfinished runs whose log begins with a snapshot, in the order of their ids."""
    rows = await connection.fetch(QUERIES["compacted_runs"], None if after is None else UUID(after), limit)
    return [str(row["run_id"]) for row in rows]


async def remove_settled_events(connection: Connection, run_ids: Sequence[str], kept: timedelta, limit: int) -> int:
    """Remove up to `limit` trigger events a run from locked runs; how many in all."""
    rows = await connection.fetch(QUERIES["remove_settled_events"], [UUID(run_id) for run_id in run_ids], kept, limit)
    return sum(row["events"] for row in rows)


async def forget_replicas(connection: Connection, kept: timedelta, limit: int) -> None:
    """Delete replicas that have been dead for `kept`."""
    await connection.execute(QUERIES["forget_replicas"], kept, limit)
