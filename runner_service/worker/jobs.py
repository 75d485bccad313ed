"""Looks after the external jobs of this host: starts them, sees them end, stops them; clears up after them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from runner_service.usecases.finish_job import finish_job
from runner_service.usecases.open_jobs import finished_before, lost_jobs, open_jobs
from runner_service.worker.hub import Hub
from runner_service.worker.job_watch import JobTools, JobWatch
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.ids import is_id
from wakepoint.nodes.backends import JobBackend, JobResult

POLL_SECONDS = 1.0
LOST_EVERY_SECONDS = 15.0
CLEAR_EVERY_SECONDS = 600.0
IDS_AT_ONCE = 1000

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobLimits:
    """`kept`: how long files stay after a job's end. `silence`: after how long without a sign of life a host is taken
    for gone, and with it its jobs.
    """

    kept: timedelta = timedelta(days=7)
    silence: timedelta = timedelta(minutes=5)


class JobKeeper:
    """A job runs on the host where its run was when it was submitted; another host cannot see its processes."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        hub: Hub,
        host: str,
        backends: Mapping[str, JobBackend],
        limits: JobLimits | None = None,
    ) -> None:
        self._tools = JobTools(database, clock, hub, backends)
        self._hub = hub
        self._host = host
        self._limits = limits or JobLimits()
        self._watches: dict[str, tuple[JobWatch, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Until cancelled; the jobs go on. What an earlier process of this host started is found again."""
        chores = [
            asyncio.create_task(self._every(LOST_EVERY_SECONDS, self._give_lost_jobs_up), name="lost jobs"),
            asyncio.create_task(self._every(CLEAR_EVERY_SECONDS, self._clear_up), name="job files"),
        ]
        try:
            while True:
                await self._and_log(self._look)
                await self._hub.jobs.wait(POLL_SECONDS)
        finally:
            tasks = [*chores, *(task for _, task in self._watches.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._watches.clear()

    async def _look(self) -> None:
        """Watch jobs that are new; tell the watches of those that are to end."""
        found = await open_jobs(self._tools.database, self._host)
        for job in found:
            if job.job_id not in self._watches:
                self._begin(job.job_id)
            if job.stopping:
                self._watches[job.job_id][0].stop.set()
        # A job that somebody else took for lost has no node any more that wants it.
        for job_id in self._watches.keys() - {job.job_id for job in found}:
            self._watches[job_id][0].stop.set()

    def _begin(self, job_id: str) -> None:
        watch = JobWatch(job_id, self._tools)
        task = asyncio.create_task(watch.run(), name=f"job {job_id}")
        self._watches[job_id] = (watch, task)
        task.add_done_callback(lambda _: self._watches.pop(job_id, None))

    async def _give_lost_jobs_up(self) -> None:
        """Jobs of hosts that are gone end, so that their nodes can go on elsewhere."""
        database, clock = self._tools.database, self._tools.clock
        for job in await lost_jobs(database, self._host, self._limits.silence, list(self._tools.backends)):
            result = JobResult("FAILED", error="the machine that it ran on has not been heard of for too long")
            if await finish_job(database, self._hub, job, result.as_mapping(), clock.now()):
                _log.warning("job is given up: its host is gone", job_id=job.job_id)

    async def _clear_up(self) -> None:
        """Remove the files of jobs that ended long ago."""
        for backend in self._tools.backends.values():
            kept = [job_id for job_id in await backend.kept() if is_id(job_id)]
            for start in range(0, len(kept), IDS_AT_ONCE):
                some = kept[start : start + IDS_AT_ONCE]
                await backend.discard(await finished_before(self._tools.database, some, self._limits.kept))

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._and_log(work)
            await self._tools.clock.sleep(seconds)

    async def _and_log(self, work: Callable[[], Awaitable[None]]) -> None:
        """Whatever goes wrong goes wrong again, or not, the next time."""
        try:
            await work()
        except (WakepointError, OSError) as error:
            _log.warning("looking after jobs failed", work=work.__name__, error=str(error))
