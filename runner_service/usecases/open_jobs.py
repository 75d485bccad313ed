"""What there is to look after."""

from collections.abc import Sequence
from datetime import timedelta

from runner_service.domain.jobs import Job
from runner_service.storage import jobs
from runner_service.storage.jobs import OpenJob
from wakepoint.chassis.database import Database

__all__ = ["OpenJob", "finished_before", "get_job", "lost_jobs", "open_jobs"]


async def open_jobs(database: Database, host: str) -> list[OpenJob]:
    """The unfinished jobs of this host."""
    async with database.connection() as connection:
        return await jobs.open_jobs(connection, host)


async def get_job(database: Database, job_id: str) -> Job | None:
    """An unfinished job, None once it is finished."""
    async with database.connection() as connection:
        found = await jobs.get_jobs(connection, [job_id])
    return found[0] if found else None


async def lost_jobs(database: Database, host: str, silence: timedelta, backends: Sequence[str]) -> list[Job]:
    """Unfinished jobs of other hosts from which nothing was heard for that long; at most 100."""
    async with database.connection() as connection:
        return await jobs.get_jobs(connection, await jobs.lost_jobs(connection, host, silence, backends))


async def finished_before(database: Database, job_ids: Sequence[str], age: timedelta) -> list[str]:
    """Which of these jobs have ended longer than `age` ago."""
    async with database.connection() as connection:
        return await jobs.finished_before(connection, job_ids, age)
