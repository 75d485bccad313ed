"""Reading the log."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from runner_service.domain.history import EventType, HistoryEvent
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "log.sql")


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
) -> list[HistoryEvent]:
    """The run's lines after `after_seq`, at most `limit`."""
    rows = await connection.fetch(
        QUERIES["list_run_events"], UUID(run_id), after_seq, list(event_types), node_id, limit
    )
    return [_event(row) for row in rows]


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
