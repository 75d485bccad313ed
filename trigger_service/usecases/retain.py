"""Retention: history past its age is removed, a batch a transaction; what is not final is never removed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

from trigger_service.storage import retention
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Ages:
    """How long things are kept, from when they were made.

    `history`: events, decisions, firings. `keys`: that an event was there at all; longer, so that a report which comes
    again after its event was purged is told from a new one.
    """

    history: timedelta = timedelta(days=30)
    keys: timedelta = timedelta(days=180)
    requests: timedelta = timedelta(days=30)
    deliveries: timedelta = timedelta(days=1)


async def retain(
    database: Database, ages: Ages, *, batch: int = 200, between: Callable[[], Awaitable[None]] | None = None
) -> int:
    """Walk once through all that is old. How many rows of history were removed or emptied.

    `between` is awaited after each batch, so that removing never takes the database for itself.
    """
    removed = 0
    for work in (
        partial(_repeat, partial(_forget, "deliveries", ages.deliveries, batch), batch),
        partial(_walk, partial(_purge_events, ages.history, batch)),
        partial(_walk, partial(_purge_firings, ages.history, batch)),
        partial(_repeat, partial(_forget, "events", ages.keys, batch), batch),
        partial(_repeat, partial(_forget, "requests", ages.requests, batch), batch),
        partial(_repeat, partial(_forget, "problems", ages.history, batch), batch),
    ):
        removed += await work(database, between)
    return removed


_Pause = Callable[[], Awaitable[None]] | None


async def _walk(
    work: Callable[[UUID, Connection], Awaitable[tuple[UUID | None, int]]], database: Database, between: _Pause
) -> int:
    """One pass in order of age. What cannot be removed yet is passed over, however much of it there is."""
    removed, after = 0, retention.START
    while True:
        last, count = await database.run(partial(work, after))
        removed += count
        failpoints.hit("trigger.retain.after_commit")
        if last is None:
            return removed
        after = last
        if between is not None:
            await between()


async def _repeat(work: Callable[[Connection], Awaitable[int]], batch: int, database: Database, between: _Pause) -> int:
    removed = 0
    while True:
        count = await database.run(work)
        removed += count
        if count < batch:
            return removed
        if between is not None:
            await between()


async def _purge_events(age: timedelta, batch: int, after: UUID, connection: Connection) -> tuple[UUID | None, int]:
    step = await retention.next_events(connection, after, age, batch)
    if not step.old:
        # Keys are made in the order of time: behind the first batch without an old one there is none.
        return None, 0
    purged = await retention.purge_events(connection, step.old, age)
    failpoints.hit("trigger.retain.before_commit")
    return step.last, purged


async def _purge_firings(age: timedelta, batch: int, after: UUID, connection: Connection) -> tuple[UUID | None, int]:
    step = await retention.purge_manual_firings(connection, after, age, batch)
    return (step.last, step.gone) if step.old else (None, 0)


async def _forget(what: str, age: timedelta, batch: int, connection: Connection) -> int:
    return await retention.forget(connection, what, age, batch)
