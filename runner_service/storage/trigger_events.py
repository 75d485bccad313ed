"""The inbox as people look at it: what became of each event, and which are delivered again."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from runner_service.domain.runs import TriggerEventState
from runner_service.domain.trigger_events import TriggerEvent
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "trigger_events.sql")

MAX_PAGE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """An event of an inbox and where it stands."""

    event: TriggerEvent
    inbox_seq: int
    state: TriggerEventState
    reason: str


@dataclass(frozen=True, slots=True)
class LateEvent:
    """An event that has just expired."""

    run_id: str
    inbox_seq: int
    node_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Redelivery:
    """What a request asked for, as a hash, and what it made."""

    body_hash: bytes
    inbox_seqs: Sequence[int]


async def list_trigger_events(
    connection: Connection, run_id: str, node_id: str, *, after: int, states: Sequence[str], limit: int
) -> tuple[list[ListedEvent], bool]:
    """A node's events beyond inbox_seq `after`, oldest first, and whether more follow."""
    rows = await connection.fetch(
        QUERIES["list_trigger_events"], UUID(run_id), node_id, after, list(states), limit + 1, MAX_PAGE_BYTES
    )
    shown = rows[:limit]
    return [_listed(row) for row in shown], bool(rows) and len(shown) < rows[0]["total"]


async def get_trigger_events(
    connection: Connection, run_id: str, node_id: str, event_ids: Sequence[str], *, without: Sequence[str], limit: int
) -> list[ListedEvent]:
    """The events of these ids; none named: all expired and dead-lettered ones, but for the sources in `without`."""
    rows = await connection.fetch(
        QUERIES["get_trigger_events"], UUID(run_id), node_id, list(event_ids), list(without), limit
    )
    return [_listed(row) for row in rows]


async def get_by_seq(connection: Connection, run_id: str, inbox_seqs: Sequence[int]) -> list[ListedEvent]:
    """The events at these places of a run's inbox."""
    rows = await connection.fetch(QUERIES["get_trigger_events_by_seq"], UUID(run_id), list(inbox_seqs))
    return [_listed(row) for row in rows]


async def insert_redelivery(
    connection: Connection, experiment_id: str, request_id: str, body_hash: bytes, run_id: str
) -> bool:
    """Whether the request is new."""
    values = (experiment_id, request_id, body_hash, UUID(run_id))
    return await connection.fetchval(QUERIES["insert_redelivery"], *values) is not None


async def get_redelivery(connection: Connection, experiment_id: str, request_id: str) -> Redelivery:
    """What is remembered of a request that is not new."""
    row = await connection.fetchrow(QUERIES["get_redelivery"], experiment_id, request_id)
    assert row is not None, "only a request that was there before is asked for"
    return Redelivery(row["body_hash"], row["inbox_seqs"])


async def complete_redelivery(
    connection: Connection, experiment_id: str, request_id: str, inbox_seqs: Sequence[int]
) -> None:
    """Remember what a request made."""
    await connection.execute(QUERIES["complete_redelivery"], experiment_id, request_id, list(inbox_seqs))


async def late_events(connection: Connection, limit: int) -> list[str]:
    """Ids of runs that nobody holds and that have events whose time is over: candidates, to be locked first."""
    return [str(row["run_id"]) for row in await connection.fetch(QUERIES["late_events"], limit)]


async def expire_events(connection: Connection, run_ids: Sequence[str]) -> list[LateEvent]:
    """Take events whose time is over out of the inboxes of runs that this transaction has locked."""
    rows = await connection.fetch(QUERIES["expire_events"], [UUID(run_id) for run_id in run_ids])
    late = [LateEvent(str(row["run_id"]), row["inbox_seq"], row["node_id"], row["event_id"]) for row in rows]
    return sorted(late, key=lambda event: (event.run_id, event.inbox_seq))


def _listed(row: asyncpg.Record) -> ListedEvent:
    event = TriggerEvent.from_seen(row["event"], priority=row["priority"], expire_time=row["expire_time"])
    return ListedEvent(event, row["inbox_seq"], TriggerEventState(row["state"]), row["reason"] or "")
