"""Removing history, a small batch at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "retention.sql")

START = UUID(int=0)
"""Before every key."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a walk through rows in the order of their age: the last one seen, what was old among them, how many
    of those went.
    """

    last: UUID
    old: Sequence[UUID]
    gone: int = 0


async def next_events(connection: Connection, after: UUID, age: timedelta, limit: int) -> Step:
    """The next events behind `after` that still say something."""
    return _step(await connection.fetch(_SQL["purgeable_events"], after, age, limit), "event_key", after)


async def purge_events(connection: Connection, event_keys: Collection[UUID], age: timedelta) -> int:
    """Remove what these events say, their firings and decisions, where none of it is under way or young; how many."""
    locked = {row["event_key"] for row in await connection.fetch(_SQL["lock_events"], list(event_keys))}
    kept = {row["event_key"] for row in await connection.fetch(_SQL["lock_firings_of_events"], list(locked), age)}
    purged = sorted(locked - kept)
    if purged:
        await connection.execute(_SQL["purge_events"], purged)
    return len(purged)


async def purge_manual_firings(connection: Connection, after: UUID, age: timedelta, limit: int) -> Step:
    """Remove old firings behind `after` that somebody asked for; those still under way stay."""
    return _step(await connection.fetch(_SQL["purge_firings_by_hand"], after, age, limit), "firing_id", after)


async def forget(connection: Connection, what: str, age: timedelta, limit: int) -> int:
    """Delete `events` (purged ones), `requests`, `deliveries` or `problems` older than `age`; how many."""
    return len(await connection.fetch(_SQL[f"forget_{what}"], age, limit))


def _step(rows: Sequence[Any], key: str, after: UUID) -> Step:
    last = rows[-1][key] if rows else after
    return Step(last, [row[key] for row in rows if row["is_old"]], sum(row.get("is_gone", False) for row in rows))
