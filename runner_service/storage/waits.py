"""Waits and their timers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from runner_service.domain.runs import SuspendedNode, Wait, WaitHealth
from runner_service.domain.trigger_events import Address
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "waits.sql")


@dataclass(frozen=True, slots=True)
class DueTimer:
    """A timer that fires now."""

    run_id: str
    node_id: str
    activation: str
    wake_time: datetime


@dataclass(frozen=True, slots=True)
class SuspendedFilter:
    """None: everything. `include_waiting`: hot waits too. `min_idle`: waiting for at least that long."""

    experiment_id: str | None = None
    workflow_id: str | None = None
    node_type: str | None = None
    min_idle: timedelta | None = None
    include_waiting: bool = False
    health: WaitHealth | None = None


@dataclass(frozen=True, slots=True)
class WaitKey:
    """A wait's place among those that are listed."""

    create_time: datetime
    run_id: str
    node_id: str


async def read_waits(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[Wait]]:
    """The waits of the runs."""
    waits: dict[str, list[Wait]] = defaultdict(list)
    for row in await connection.fetch(QUERIES["read_waits"], [UUID(run_id) for run_id in run_ids]):
        run_id = str(row["run_id"])
        waits[run_id].append(Wait(run_id, row["node_id"], row["activation"], row["suspended"], row["wake_time"]))
    return waits


async def due_waits(connection: Connection, limit: int) -> list[Address]:
    """Waits whose time has come, the longest overdue first: candidates, to be locked before anything is decided."""
    return [Address(str(row["run_id"]), row["node_id"]) for row in await connection.fetch(QUERIES["due_waits"], limit)]


async def take_due_times(connection: Connection, addresses: Sequence[Address]) -> list[DueTimer]:
    """Take the times that are due from the waits; their runs are locked by this transaction."""
    rows = await connection.fetch(
        QUERIES["take_due_times"], [UUID(a.run_id) for a in addresses], [a.node_id for a in addresses]
    )
    return [DueTimer(str(row["run_id"]), row["node_id"], row["activation"], row["wake_time"]) for row in rows]


async def next_wake_seconds(connection: Connection) -> float | None:
    """Seconds until the next timer is due, negative when one is overdue; None when there is none."""
    seconds: float | None = await connection.fetchval(QUERIES["next_wake_seconds"])
    return seconds


async def list_suspended(
    connection: Connection, where: SuspendedFilter, *, after: WaitKey | None, limit: int, as_of: datetime
) -> list[SuspendedNode]:
    """Waiting nodes, the longest wait first, only such as waited by `as_of`."""
    rows = await connection.fetch(
        QUERIES["list_suspended"],
        *_filter_values(where),
        after.create_time if after else None,
        UUID(after.run_id) if after else None,
        after.node_id if after else None,
        limit,
        as_of,
    )
    return [suspended_node(row) for row in rows]


def suspended_node(row: asyncpg.Record) -> SuspendedNode:
    """A waiting node as it is listed."""
    values = {"run_id": str(row["run_id"]), "reason": row["reason"] or "", "health": WaitHealth(row["health"])}
    return SuspendedNode(**{**dict(row), **values})


async def count_suspended(connection: Connection, where: SuspendedFilter) -> int:
    """How many nodes wait."""
    count: int = await connection.fetchval(QUERIES["count_suspended"], *_filter_values(where))
    return count


def _filter_values(where: SuspendedFilter) -> tuple[object, ...]:
    return (
        where.experiment_id,
        where.workflow_id,
        where.node_type,
        where.min_idle,
        where.include_waiting,
        where.health,
    )
