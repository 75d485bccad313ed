"""Remove what is over and old enough, a little at a time: finished runs, and the settled events of compacted ones."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from runner_service.storage import log, retention, runs
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database

REPLICAS_KEPT = timedelta(days=1)
REPLICAS_AT_ONCE = 100
EVENTS_AT_ONCE = 1000

Archive = Callable[[Sequence[dict[str, Any]]], Awaitable[None]]
"""Keeps these runs somewhere else, durably once it returns; raises when it cannot."""
Pause = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ages:
    """How long things stay: finished `runs` after their end; files of `jobs` (their run stays as long); settled trigger
    `events` of compacted runs, by which a repetition is known.
    """

    runs: timedelta
    jobs: timedelta
    events: timedelta


async def retain(
    database: Database, ages: Ages, pause: Pause, archive: Archive | None = None, *, batch: int = 50
) -> None:
    """Remove all that is due, in transactions of `batch` runs each, with a pause after each."""
    while await _remove_runs(database, ages, archive, batch) == batch:
        await pause()
    await _remove_events(database, ages, pause, batch)
    async with database.connection() as connection:
        await retention.forget_replicas(connection, REPLICAS_KEPT, REPLICAS_AT_ONCE)


async def _remove_runs(database: Database, ages: Ages, archive: Archive | None, batch: int) -> int:
    """How many runs were removed. They are archived before; who dies in between archives them again."""

    async def remove(connection: Connection) -> int:
        old = await retention.lock_old_runs(connection, ages.runs, ages.jobs, batch)
        if not old:
            return 0
        if archive is not None:
            await archive([await _in_full(connection, run_id) for run_id in old])
            failpoints.hit("runner.retention.archived")
        return await retention.delete_runs(connection, old)

    return await database.run(remove)


async def _in_full(connection: Connection, run_id: str) -> dict[str, Any]:
    rows = await retention.read_rows(connection, run_id)
    events = (await log.read_logs(connection, [run_id]))[run_id]
    lines = [
        {
            "seq": event.seq,
            "event_type": event.event_type.value,
            "node_id": event.node_id,
            "activation": event.activation,
            "payload": event.payload,
            "epoch": event.epoch,
            "create_time": event.create_time.isoformat(),
        }
        for event in events
    ]
    return {**rows, "events": lines}


async def _remove_events(database: Database, ages: Ages, pause: Pause, batch: int) -> None:
    after: str | None = None
    while True:
        async with database.connection() as connection:
            found = await retention.compacted_runs(connection, after, batch)
        if not found:
            return
        while await database.run(partial(_remove_from, run_ids=found, kept=ages.events)):
            await pause()
        after = found[-1]


async def _remove_from(connection: Connection, run_ids: Sequence[str], kept: timedelta) -> int:
    # Whoever decides about a run right now is not waited for: there is a next time.
    locked = await runs.lock_runs(connection, run_ids, skip_locked=True)
    return await retention.remove_settled_events(connection, list(locked), kept, EVENTS_AT_ONCE)
