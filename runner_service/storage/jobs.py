"""External jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from runner_service.domain.jobs import Job
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "jobs.sql")


@dataclass(frozen=True, slots=True)
class OpenJob:
    """An unfinished job, as far as it changes. `stopping`: it is to end."""

    job_id: str
    attempt: int
    stopping: bool


async def open_jobs(connection: Connection, host: str) -> list[OpenJob]:
    """The unfinished jobs that belong to `host`."""
    rows = await connection.fetch(QUERIES["open_jobs"], host)
    return [OpenJob(str(row["job_id"]), row["attempt"], row["stopping"]) for row in rows]


async def get_jobs(connection: Connection, job_ids: Sequence[str]) -> list[Job]:
    """Those of the jobs that are unfinished, whole."""
    return [_job(row) for row in await connection.fetch(QUERIES["get_jobs"], _uuids(job_ids))]


async def mark_running(connection: Connection, job: Job, handle: Mapping[str, Any]) -> bool:
    """Record that the job was started and where; False when that is known, or it has ended."""
    return await connection.fetchval(QUERIES["mark_running"], UUID(job.job_id), job.attempt, dict(handle)) is not None


async def finish_job(connection: Connection, job: Job, result: Mapping[str, Any]) -> bool:
    """Record the job's end; False when somebody did before, or it was started anew."""
    return await connection.fetchval(QUERIES["finish_job"], UUID(job.job_id), job.attempt, dict(result)) is not None


async def start_anew(connection: Connection, job: Job) -> bool:
    """Begin the job's next attempt; False when it is not running any more, or is to end."""
    return await connection.fetchval(QUERIES["start_anew"], UUID(job.job_id), job.attempt) is not None


async def lost_jobs(connection: Connection, host: str, silence: timedelta, backends: Sequence[str]) -> list[str]:
    """Unfinished jobs of other hosts from which nothing was heard for that long."""
    rows = await connection.fetch(QUERIES["lost_jobs"], host, silence, list(backends))
    return [str(row["job_id"]) for row in rows]


async def finished_before(connection: Connection, job_ids: Sequence[str], age: timedelta) -> list[str]:
    """Which of these jobs have ended longer than `age` ago."""
    return [str(row["job_id"]) for row in await connection.fetch(QUERIES["finished_before"], _uuids(job_ids), age)]


def _uuids(job_ids: Sequence[str]) -> list[UUID]:
    return [UUID(job_id) for job_id in job_ids]


def _job(row: asyncpg.Record) -> Job:
    return Job(**{**dict(row), "job_id": str(row["job_id"]), "run_id": str(row["run_id"])})
