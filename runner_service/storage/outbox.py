"""What trigger_service is still to be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from runner_service.storage.steps import OutboxEntry
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "outbox.sql")


@dataclass(frozen=True, slots=True)
class LeasedEntry:
    """An entry that this replica may deliver until its lease is over."""

    outbox_id: int
    kind: str
    payload: Mapping[str, Any]
    attempts: int


async def add_to_outbox(connection: Connection, entries: Sequence[OutboxEntry]) -> None:
    """Write entries outside of a step, such as a job's end."""
    rows = [{"kind": entry.kind, "payload": dict(entry.payload)} for entry in entries]
    await connection.execute(QUERIES["add_to_outbox"], rows)


async def lease_outbox(connection: Connection, limit: int, lease: timedelta) -> list[LeasedEntry]:
    """Take up to `limit` due entries for the time of `lease`."""
    rows = await connection.fetch(QUERIES["lease_outbox"], limit, lease)
    entries = [LeasedEntry(row["outbox_id"], row["kind"], row["payload"], row["attempts"]) for row in rows]
    return sorted(entries, key=lambda entry: entry.outbox_id)


async def delete_delivered(connection: Connection, outbox_ids: Sequence[int]) -> None:
    """Forget what was delivered."""
    await connection.execute(QUERIES["delete_delivered"], list(outbox_ids))


async def postpone(connection: Connection, outbox_ids: Sequence[int], delay: timedelta, error: str) -> None:
    """Try again after `delay`."""
    await connection.execute(QUERIES["postpone"], list(outbox_ids), delay, error)
