"""What trigger_service is still to be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runner_service.storage.steps import OutboxEntry
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "outbox.sql")


@dataclass(frozen=True, slots=True)
class LeasedEntry:
    """An entry that this replica may deliver until its lease is over. `create_time` is when it happened."""

    outbox_id: int
    kind: str
    payload: Mapping[str, Any]
    attempts: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Postponed:
    """An entry to be tried again after so many seconds, and why."""

    outbox_id: int
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry that trigger_service will never take, and why."""

    outbox_id: int
    error: str


async def add_to_outbox(connection: Connection, entries: Sequence[OutboxEntry]) -> None:
    """Write entries outside of a step, such as a job's end."""
    rows = [{"kind": entry.kind, "payload": dict(entry.payload)} for entry in entries]
    await connection.execute(QUERIES["add_to_outbox"], rows)


async def lease_outbox(connection: Connection, limit: int, lease: timedelta) -> list[LeasedEntry]:
    """Take up to `limit` due entries for the time of `lease`, of each subject the first."""
    rows = await connection.fetch(QUERIES["lease_outbox"], limit, lease)
    return sorted((LeasedEntry(**dict(row)) for row in rows), key=lambda entry: entry.outbox_id)


async def delete_delivered(connection: Connection, outbox_ids: Sequence[int]) -> None:
    """Forget what was delivered."""
    await connection.execute(QUERIES["delete_delivered"], list(outbox_ids))


async def postpone(connection: Connection, entries: Sequence[Postponed]) -> None:
    """Try again later."""
    rows = [{"outbox_id": entry.outbox_id, "seconds": entry.seconds, "error": entry.error} for entry in entries]
    await connection.execute(QUERIES["postpone"], rows)


async def refuse(connection: Connection, entries: Sequence[RefusedEntry], kept: timedelta) -> None:
    """Keep what was refused for people to see, and forget what was refused longer than `kept` ago."""
    rows = [{"outbox_id": entry.outbox_id, "error": entry.error} for entry in entries]
    await connection.execute(QUERIES["refuse"], rows)
    await connection.execute(QUERIES["forget_refused"], kept)
