"""One unfinished job, from its start to its end."""

import asyncio
import os
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from runner_service.backends.supervise import identity_of
from runner_service.domain.jobs import Job
from runner_service.usecases.finish_job import finish_job
from runner_service.usecases.open_jobs import get_job
from runner_service.usecases.signals import Signals
from runner_service.usecases.start_job import mark_running, start_anew
from wakepoint.chassis import failpoints
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import InvalidArgument, WakepointError
from wakepoint.chassis.tasks import backoff
from wakepoint.nodes.backends import CannotStart, JobBackend, JobResult, JobSurroundings

SHORTEST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 1.0
STOP_AGAIN_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 10.0

_log = structlog.stdlib.get_logger(__name__)
_rng = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class JobTools:
    """What looking after a job needs."""

    database: Database
    clock: Clock
    signals: Signals
    backends: Mapping[str, JobBackend]


class JobWatch:
    """`stop` is set from outside when the job is to end. Whatever goes wrong is tried again, and holds up no other."""

    def __init__(self, job_id: str, tools: JobTools) -> None:
        self.stop = asyncio.Event()
        self._job_id = job_id
        self._tools = tools

    async def run(self) -> None:
        """Until the end of the job is recorded."""
        failures = 0
        while True:
            try:
                if await self._proceed():
                    return
                failures = 0
            except Exception as error:  # noqa: BLE001 -- a job that is not looked after would never end
                failures += 1
                expected = isinstance(error, WakepointError)
                _log.warning("looking after a job failed", job_id=self._job_id, error=str(error), exc_info=not expected)
                pause = backoff(failures, _rng, first=0.1, longest=LONGEST_PAUSE_SECONDS)
                await self._tools.clock.sleep(pause)

    async def _proceed(self) -> bool:
        """Take the job from where it stands to its end. False: it has to be looked at anew."""
        job = await get_job(self._tools.database, self._job_id)
        if job is None:
            return True
        if job.stopping:
            self.stop.set()
        backend = self._tools.backends.get(job.backend)
        if backend is None:
            result = JobResult("FAILED", error=f"job backend {job.backend} is not installed here")
            return await self._finish(job, result)
        if job.handle is None and not self.stop.is_set() and (refused := await self._start(job, backend)) is not None:
            return await self._finish(job, refused)
        if _is_to_run_again(job):
            return await self._run_again(job, backend)
        return await self._finish(job, await self._until_end(job, backend, self.stop))

    async def _start(self, job: Job, backend: JobBackend) -> JobResult | None:
        """Start the job, or find that it was; a result only if it cannot be started."""
        surroundings = JobSurroundings(job.run_id, job.job_id, job.experiment_id, job.trace_parent)
        try:
            handle = await backend.start(job, surroundings)
        except CannotStart as error:
            return JobResult("FAILED", error=f"the job cannot be started: {error}")
        failpoints.hit("runner.job.started")
        await mark_running(self._tools.database, self._tools.signals, job, {**handle, "runner": _this_process()})
        return None

    async def _run_again(self, job: Job, backend: JobBackend) -> bool:
        """A job that outlived its runner and is not wanted for that: end it, unless it has ended well meanwhile."""
        result = await backend.poll(job)
        if result is None:
            now = asyncio.Event()
            now.set()
            result = await self._until_end(job, backend, now)
        if not result.lost and result.status != "STOPPED":
            return await self._finish(job, result)
        if await start_anew(self._tools.database, self._tools.signals, job):
            _log.info("job is run again after a restart", job_id=job.job_id, attempt=job.attempt + 1)
        return False

    async def _until_end(self, job: Job, backend: JobBackend, stop: asyncio.Event) -> JobResult:
        """The job's result, which is looked for often at first and then ever less; ends the job once `stop` is set."""
        clock = self._tools.clock
        begin, asked = clock.monotonic(), -STOP_AGAIN_SECONDS
        while (result := await backend.poll(job)) is None:
            age = clock.monotonic() - begin
            if stop.is_set():
                if age - asked >= STOP_AGAIN_SECONDS:
                    await backend.stop(job)
                    asked = age
                await clock.sleep(SHORTEST_POLL_SECONDS)
                continue
            pause = min(LONGEST_POLL_SECONDS, max(SHORTEST_POLL_SECONDS, age / 20))
            with suppress(TimeoutError):
                await clock.wait_for(stop.wait(), pause)
        return result

    async def _finish(self, job: Job, result: JobResult) -> bool:
        database, signals, clock = self._tools.database, self._tools.signals, self._tools.clock
        try:
            recorded = await finish_job(database, signals, job, result.as_mapping(), clock.now())
        except InvalidArgument as error:
            # Whatever a backend lets pass: what cannot be stored must not keep the job from ending.
            text = f"the job's result cannot be stored: {error.message}"
            result = JobResult("FAILED", result.exit_code, error=text)
            recorded = await finish_job(database, signals, job, result.as_mapping(), clock.now())
        if recorded:
            _log.info("job ended", job_id=job.job_id, job_type=job.job_type, status=result.status)
        return True


def _this_process() -> dict[str, object]:
    return {"pid": os.getpid(), "identity": identity_of(os.getpid())}


def _is_to_run_again(job: Job) -> bool:
    """Whether the job was started by a runner that is gone, and its node wants another one then."""
    if job.handle is None or job.stopping or job.spec.get("on_runner_restart") != "rerun":
        return False
    runner = job.handle.get("runner") or {"pid": 0, "identity": ""}
    return bool(identity_of(runner["pid"]) != runner["identity"])
