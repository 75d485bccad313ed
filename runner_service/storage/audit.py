"""Reading everything about runs as of one moment, for whoever checks it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from runner_service.domain.runs import TriggerEventState
from runner_service.domain.verification import InboxRow, RunEvidence, WaitRow
from runner_service.storage import log, runs
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "audit.sql")


@dataclass(frozen=True, slots=True)
class StuckEntry:
    """An entry of the outbox that does not get out."""

    outbox_id: int
    kind: str
    subject: str
    run_id: str
    attempts: int
    refused: bool
    last_error: str
    age: timedelta


async def read_evidence(
    connection: Connection,
    *,
    after: str | None,
    experiment_id: str | None,
    limit: int,
    max_lines: int,
    patience: timedelta,
) -> list[RunEvidence]:
    """The next runs by their ids, after the run `after`: at most `limit`, with about `max_lines` lines of log."""
    rows = await connection.fetch(
        QUERIES["next_runs"], None if after is None else UUID(after), experiment_id, limit, max_lines
    )
    ids = [row["run_id"] for row in rows]
    logs = await log.read_logs(connection, [str(run_id) for run_id in ids])
    waits, inbox = await _read_waits(connection, ids), await _read_inbox(connection, ids)
    jobs: dict[UUID, list[str]] = defaultdict(list)
    for job in await connection.fetch(QUERIES["read_open_jobs"], ids):
        jobs[job["run_id"]].append(str(job["job_id"]))
    return [
        RunEvidence(
            run=runs.run_of(row),
            epoch=row["epoch"],
            last_inbox_seq=row["last_inbox_seq"],
            events_removed=row["events_removed"],
            lines=logs.get(str(row["run_id"]), []),
            waits=waits[row["run_id"]],
            inbox=inbox[row["run_id"]],
            open_jobs=jobs[row["run_id"]],
            ended_ago=row["ended_ago"],
            unrunnable=row["missing_types"] is not None,
            patience=patience,
        )
        for row in rows
    ]


async def stuck_outbox(connection: Connection, patience: timedelta, limit: int) -> list[StuckEntry]:
    """Entries that were refused, or tried in vain for longer than `patience`."""
    rows = await connection.fetch(QUERIES["stuck_outbox"], patience, limit)
    return [StuckEntry(**dict(row)) for row in rows]


async def rows_without_runs(connection: Connection, limit: int) -> list[tuple[str, str]]:
    """(run id, what there is of it) where the run itself is not there."""
    rows = await connection.fetch(QUERIES["rows_without_runs"], limit)
    return [(str(row["run_id"]), row["what"]) for row in rows]


async def _read_waits(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[WaitRow]]:
    waits: dict[UUID, list[WaitRow]] = defaultdict(list)
    for row in await connection.fetch(QUERIES["read_waits"], ids):
        waits[row["run_id"]].append(WaitRow(**_without_run(row)))
    return waits


async def _read_inbox(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[InboxRow]]:
    inbox: dict[UUID, list[InboxRow]] = defaultdict(list)
    for row in await connection.fetch(QUERIES["read_inbox"], ids):
        fields = _without_run(row)
        inbox[row["run_id"]].append(InboxRow(**{**fields, "state": TriggerEventState(fields["state"])}))
    return inbox


def _without_run(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "run_id"}
