"""Reading the log."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from runner_service.domain.history import EventType, HistoryEvent, Line
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "log.sql")

MAX_PAGE_BYTES = 1024 * 1024
"""Of payload in a page of lines; as a message the same takes up to a few times more."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines of a log, and whether others follow that the same query would find."""

    lines: list[HistoryEvent]
    more: bool


async def read_logs(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[HistoryEvent]]:
    """The whole logs of the runs, each in order."""
    logs: dict[str, list[HistoryEvent]] = defaultdict(list)
    for row in await connection.fetch(QUERIES["read_logs"], [UUID(run_id) for run_id in run_ids]):
        logs[str(row["run_id"])].append(_event(row))
    return logs


async def list_run_events(
    connection: Connection,
    run_id: str,
    *,
    after_seq: int,
    limit: int,
    event_types: Sequence[str] = (),
    node_id: str | None = None,
    max_bytes: int = MAX_PAGE_BYTES,
) -> LogPage:
    """The run's lines after `after_seq`: at most `limit`, and none that begins beyond the first `max_bytes` of
    payload.
    """
    rows = await connection.fetch(
        QUERIES["list_run_events"], UUID(run_id), after_seq, list(event_types), node_id, limit + 1, max_bytes
    )
    shown = rows[:limit]
    return LogPage([_event(row) for row in shown], more=bool(rows) and len(shown) < rows[0]["total"])


async def lock_held_run(connection: Connection, run_id: str, epoch: int) -> bool:
    """Lock a run; False if it is not held in this epoch any more."""
    return await connection.fetchval(QUERIES["lock_held_run"], UUID(run_id), epoch) is not None


async def write_snapshot(connection: Connection, run_id: str, snapshot: Line) -> None:
    """Let the log begin with this line; the run is locked by this transaction."""
    await connection.execute(QUERIES["write_snapshot"], UUID(run_id), snapshot.event_type, snapshot.payload)


async def drop_lines_before_first(connection: Connection, run_id: str) -> None:
    """Delete the lines that the snapshot stands for."""
    await connection.execute(QUERIES["drop_lines_before_first"], UUID(run_id))


def _event(row: asyncpg.Record) -> HistoryEvent:
    return HistoryEvent(
        run_id=str(row["run_id"]),
        seq=row["seq"],
        event_type=EventType(row["event_type"]),
        node_id=row["node_id"],
        activation=row["activation"],
        payload=row["payload"] or {},
        epoch=row["epoch"],
        create_time=row["create_time"],
    )
