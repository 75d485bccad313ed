"""Jobs: what others wrote into their table, and whether they are still heard of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from trigger_service.domain.events import JobEvent
from trigger_service.domain.statuses import UNFINISHED, JobStatus
from trigger_service.storage.events import seconds_text
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "jobs.sql")
_UNFINISHED = sorted(UNFINISHED)


@dataclass(frozen=True, slots=True)
class SilentJob:
    """A job whose heartbeat is due. `is_running`: it did not end by itself."""

    experiment_id: str
    job_id: str
    attempt: int
    depth: int
    cause_run_id: str
    is_running: bool
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WrittenJob:
    """What somebody wrote into a job's row, and the revision of its experiment's configs that he saw."""

    written_id: int
    experiment_id: str
    job_id: str
    attempt: int
    job_type: str
    job_name: str
    status: str
    attributes: Any
    revision: int
    write_time: datetime


async def hear(connection: Connection, events: Sequence[JobEvent]) -> None:
    """Note that these jobs, each given once, run and were heard of."""
    beats = [
        {
            "experiment_id": event.experiment_id,
            "job_id": event.job_id,
            "attempt": event.attempt,
            "heartbeat_timeout": seconds_text(event.heartbeat_timeout) if event.heartbeat_timeout else None,
            "depth": event.depth,
            "cause_run_id": event.cause_run_id,
        }
        for event in events
    ]
    await connection.execute(_SQL["hear"], beats, _UNFINISHED)


async def now(connection: Connection) -> datetime:
    """The database's time."""
    moment = await connection.fetchval(_SQL["now"])
    assert isinstance(moment, datetime)
    return moment


async def silent(connection: Connection, listening_since: datetime, limit: int) -> list[SilentJob]:
    """Jobs that were not heard of for too long although somebody listened; nothing is locked."""
    rows = await connection.fetch(_SQL["silent_jobs"], listening_since, _UNFINISHED, limit)
    return [
        SilentJob(
            row["experiment_id"],
            row["job_id"],
            row["attempt"],
            row["depth"],
            row["cause_run_id"],
            row["is_running"],
            row["attributes"] if isinstance(row["attributes"], dict) else {},
        )
        for row in rows
    ]


async def lock_running(connection: Connection, key: tuple[str, str, int]) -> bool:
    """Lock a job's row; whether the job has not ended."""
    return bool(await connection.fetchval(_SQL["lock_running"], *key, _UNFINISHED))


async def end_heartbeat(connection: Connection, key: tuple[str, str, int]) -> bool:
    """Expect nothing more of a job; false when it was heard of meanwhile, or somebody else has done so."""
    return bool(await connection.fetchval(_SQL["end_heartbeat"], *key))


async def lose(
    connection: Connection, key: tuple[str, str, int], attributes: Mapping[str, Any], event_key: UUID
) -> None:
    """Say of a locked job that it failed."""
    await connection.execute(_SQL["lose_job"], *key, JobStatus.FAILED.value, dict(attributes), event_key)


async def lock_written(connection: Connection, limit: int) -> list[WrittenJob]:
    """What others wrote, oldest first; rows that somebody else is at are left out."""
    rows = await connection.fetch(_SQL["lock_written"], limit)
    return [WrittenJob(**dict(row)) for row in rows]


async def lock_unsaid(connection: Connection, limit: int) -> list[int]:
    """Rows that are matched and of whose jobs that could not be said yet."""
    return [row["written_id"] for row in await connection.fetch(_SQL["lock_unsaid"], limit)]


async def finish_written(connection: Connection, written_ids: Sequence[int]) -> None:
    """Say of these rows' jobs that they were matched. Where somebody holds a job's row it is left for another time."""
    await connection.execute(_SQL["finish_written"], list(written_ids))


async def refuse_written(connection: Connection, problems: Mapping[int, str]) -> None:
    """Put rows aside with what is wrong with them."""
    await connection.execute(_SQL["refuse_written"], list(problems), list(problems.values()))
