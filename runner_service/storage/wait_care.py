"""Changes to waits from outside of their runs: by people, by age, by how they fare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from runner_service.domain.runs import SuspendedNode, WaitHealth
from runner_service.storage.waits import QUERIES as WAIT_QUERIES
from runner_service.storage.waits import suspended_node
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "wait_care.sql")


@dataclass(frozen=True, slots=True)
class LockedWait:
    """A wait whose run is locked. `has_job`: an external job of the node is not finished."""

    activation: str
    suspended: bool
    has_job: bool


@dataclass(frozen=True, slots=True)
class DueExpiry:
    """A wait that is over: `expired`, or else stale, and then `stale_policy` says what becomes of it."""

    run_id: str
    node_id: str
    activation: str
    expire_time: datetime | None
    stale_time: datetime | None
    stale_policy: str
    expired: bool


@dataclass(frozen=True, slots=True)
class ChangedHealth:
    """A wait that fares otherwise than the log was told."""

    run_id: str
    node_id: str
    activation: str
    before: WaitHealth
    after: WaitHealth
    failures: int
    wake_time: datetime | None
    stale_time: datetime | None


async def get_suspended(connection: Connection, run_id: str, node_id: str) -> SuspendedNode | None:
    """A waiting node as it is listed."""
    row = await connection.fetchrow(WAIT_QUERIES["get_suspended"], UUID(run_id), node_id)
    return None if row is None else suspended_node(row)


async def lock_wait(connection: Connection, run_id: str, node_id: str) -> LockedWait | None:
    """A wait of a run that this transaction has locked."""
    row = await connection.fetchrow(QUERIES["lock_wait"], UUID(run_id), node_id)
    return None if row is None else LockedWait(**dict(row))


async def update_wait(
    connection: Connection,
    run_id: str,
    node_id: str,
    named: Sequence[str],
    *,
    state: Mapping[str, Any],
    priority: int,
    expire_time: datetime | None,
) -> None:
    """Change what is named: `state`, `priority`, `expire_time`."""
    values = (list(named), dict(state), priority, expire_time)
    await connection.execute(QUERIES["update_wait"], UUID(run_id), node_id, *values)


async def due_expiries(connection: Connection, limit: int) -> list[str]:
    """Ids of runs with waits that are over: candidates, to be locked before anything is decided."""
    return [str(row["run_id"]) for row in await connection.fetch(QUERIES["due_expiries"], limit)]


async def take_due_expiries(connection: Connection, run_ids: Sequence[str]) -> list[DueExpiry]:
    """Take the ends that are due from waits whose runs are locked by this transaction."""
    rows = await connection.fetch(QUERIES["take_due_expiries"], [UUID(run_id) for run_id in run_ids])
    return [DueExpiry(**{**dict(row), "run_id": str(row["run_id"])}) for row in rows]


async def changed_healths(connection: Connection, limit: int) -> list[str]:
    """Ids of runs of which the log is to be told how a wait fares: candidates, to be locked first."""
    return [str(row["run_id"]) for row in await connection.fetch(QUERIES["changed_healths"], limit)]


async def take_changed_healths(connection: Connection, run_ids: Sequence[str]) -> list[ChangedHealth]:
    """What the logs of runs that this transaction has locked are to be told; it counts as told."""
    rows = await connection.fetch(QUERIES["take_changed_healths"], [UUID(run_id) for run_id in run_ids])
    return [
        ChangedHealth(
            **{
                **dict(row),
                "run_id": str(row["run_id"]),
                "before": WaitHealth(row["before"]),
                "after": WaitHealth(row["after"]),
            }
        )
        for row in rows
    ]


async def count_unwell(connection: Connection) -> dict[WaitHealth, int]:
    """How many waits fare ill, and how."""
    row = await connection.fetchrow(QUERIES["count_unwell"])
    assert row is not None, "an aggregate always has a row"
    return {
        WaitHealth.OVERDUE: row["overdue"],
        WaitHealth.STALE: row["stale"],
        WaitHealth.FAILING: row["failing"],
    }
