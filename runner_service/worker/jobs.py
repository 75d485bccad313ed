"""Looks after the external jobs of this host: starts them, sees them end, stops them."""

from collections.abc import Mapping

import structlog

from runner_service.backends.backend import JobBackend, JobResult, JobSurroundings
from runner_service.domain.runs import Job
from runner_service.usecases.finish_job import finish_job, mark_running, open_jobs
from runner_service.worker.hub import Hub
from wakepoint.chassis import failpoints
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database

POLL_SECONDS = 1.0
RUNNING_POLL_SECONDS = 0.1

_log = structlog.stdlib.get_logger(__name__)


class JobKeeper:
    """A job runs on the host where its run was when it was submitted; another host cannot see its processes."""

    def __init__(
        self, database: Database, clock: Clock, hub: Hub, host: str, backends: Mapping[str, JobBackend]
    ) -> None:
        self._database = database
        self._clock = clock
        self._hub = hub
        self._host = host
        self._backends = backends

    async def run(self) -> None:
        """Until cancelled. What an earlier process of this host started is found again by its folder."""
        while True:
            found = await open_jobs(self._database, self._host)
            for job in found:
                await self._look_after(job)
            await self._hub.jobs.wait(RUNNING_POLL_SECONDS if found else POLL_SECONDS)

    async def _look_after(self, job: Job) -> None:
        backend = self._backends.get(job.backend)
        if backend is None:
            await self._finish(job, JobResult("FAILED", error=f"job backend {job.backend} is not installed here"))
            return
        match job.state:
            case "SUBMITTED":
                await self._start(job, backend)
            case "STOPPING":
                await self._stop(job, backend)
            case _:
                if (result := await backend.poll(job)) is not None:
                    await self._finish(job, result)

    async def _start(self, job: Job, backend: JobBackend) -> None:
        try:
            handle = await backend.start(job, JobSurroundings(job.run_id, job.job_id, job.experiment_id))
        except OSError as error:
            await self._finish(job, JobResult("FAILED", error=f"the job cannot be started: {error}"))
            return
        failpoints.hit("runner.job.started")
        await mark_running(self._database, job, handle)

    async def _stop(self, job: Job, backend: JobBackend) -> None:
        await backend.stop(job)
        result = JobResult("STOPPED", error="stopped before it was started") if job.handle is None else None
        result = await backend.poll(job) or result
        if result is not None:
            await self._finish(job, result)

    async def _finish(self, job: Job, result: JobResult) -> None:
        await finish_job(self._database, self._hub, job, result.as_mapping(), self._clock.now())
        _log.info("job ended", job_id=job.job_id, job_type=job.job_type, status=result.status)
