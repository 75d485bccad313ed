"""Counting a workflow's events and firings over time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "statistics.sql")


@dataclass(frozen=True, slots=True)
class EventCount:
    """Events of one type in one experiment and bucket; `bucket` is where that begins."""

    experiment_id: str
    job_type: str
    bucket: datetime
    events: int


@dataclass(frozen=True, slots=True)
class FiringCount:
    """One trigger's firings in one bucket."""

    trigger_type: str
    bucket: datetime
    matched: int
    dispatched: int
    dead: int
    runs_failed: int


async def as_of(connection: Connection) -> datetime:
    """Now, by the clock that all replicas share."""
    now: datetime = await connection.fetchval(_SQL["as_of"])
    return now


async def count_events(
    connection: Connection, experiment_ids: Collection[str], start: datetime, bucket: timedelta
) -> list[EventCount]:
    """What came in these experiments since `start`."""
    rows = await connection.fetch(_SQL["count_events"], sorted(experiment_ids), start, bucket)
    return [EventCount(*row.values()) for row in rows]


async def count_firings(
    connection: Connection, workflow_id: UUID, trigger_types: Collection[str], start: datetime, bucket: timedelta
) -> list[FiringCount]:
    """What a workflow's triggers fired since `start`."""
    rows = await connection.fetch(_SQL["count_firings"], workflow_id, sorted(trigger_types), start, bucket)
    return [FiringCount(*row.values()) for row in rows]


async def last_fired(
    connection: Connection, workflow_id: UUID, trigger_types: Collection[str]
) -> dict[str, datetime | None]:
    """When each trigger fired last; None: never."""
    rows = await connection.fetch(_SQL["last_fired"], workflow_id, sorted(trigger_types))
    return {row["trigger_type"]: row["last_fired_time"] for row in rows}
