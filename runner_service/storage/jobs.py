"""External jobs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from runner_service.domain.runs import Job
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "jobs.sql")


async def open_jobs(connection: Connection, host: str) -> list[Job]:
    """The unfinished jobs that belong to `host`."""
    return [_job(row) for row in await connection.fetch(QUERIES["open_jobs"], host)]


async def get_job(connection: Connection, job_id: str) -> Job | None:
    """One job."""
    row = await connection.fetchrow(QUERIES["get_job"], UUID(job_id))
    return None if row is None else _job(row)


async def mark_running(connection: Connection, job_id: str, handle: Mapping[str, Any]) -> bool:
    """Record where the job runs; False when it is no longer SUBMITTED."""
    return await connection.fetchval(QUERIES["mark_running"], UUID(job_id), dict(handle)) is not None


async def finish_job(connection: Connection, job_id: str, result: Mapping[str, Any]) -> bool:
    """Record the job's end; False when somebody did before."""
    return await connection.fetchval(QUERIES["finish_job"], UUID(job_id), dict(result)) is not None


def _job(row: asyncpg.Record) -> Job:
    return Job(**{**dict(row), "job_id": str(row["job_id"]), "run_id": str(row["run_id"])})
