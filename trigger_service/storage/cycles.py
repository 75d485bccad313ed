"""Which workflows can start which."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from trigger_service.domain.cycles import Cause, Startable
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "cycles.sql")


@dataclass(frozen=True, slots=True)
class Edge:
    """A job that starts a workflow."""

    cause: Cause
    target: Startable


async def jobs_of(connection: Connection, workflow_id: UUID) -> Startable | None:
    """A live workflow with the jobs that its graph runs."""
    row = await connection.fetchrow(_SQL["jobs_of"], workflow_id)
    return _startable(row) if row else None


async def started_by(connection: Connection, causes: Collection[Cause], limit: int) -> list[Edge]:
    """What these jobs can start, at most `limit` workflows."""
    given = sorted(causes)
    rows = await connection.fetch(
        _SQL["started_by"], [cause[0] for cause in given], [cause[1] for cause in given], limit
    )
    return [Edge((row["source_id"], row["job_type"]), _startable(row)) for row in rows]


def _startable(row: Any) -> Startable:
    return Startable(row["workflow_id"], row["experiment_id"], row["name"], tuple(row["causes"]))
