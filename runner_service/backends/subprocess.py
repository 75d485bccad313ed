"""Jobs as processes of this machine, each under a small supervisor that outlives the runner.

An attempt of a job has a folder, `JOB_ID/ATTEMPT`: `job.json` (what to run), `input.json`, `output.json` (what the job
leaves), `stdout.log`, `stderr.log`, and what `supervise` keeps there.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from runner_service.backends import supervise
from runner_service.backends.outcome import result_of
from wakepoint.nodes.backends import CannotStart, Job, JobResult, JobSurroundings

THREADS = 4
START_SECONDS = 30.0

T = TypeVar("T")


class SubprocessBackend:
    """Runs jobs below `folder`; `environment` is what they get besides what their spec and their run say."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        # Threads of its own: nodes that block must not hold jobs up.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="subprocess-jobs")

    async def start(self, job: Job, surroundings: JobSurroundings) -> Mapping[str, Any]:
        """See JobBackend."""
        return await self._in_thread(lambda: self._start(job, surroundings))

    async def poll(self, job: Job) -> JobResult | None:
        """See JobBackend."""
        return await self._in_thread(lambda: _poll(self._folder_of(job), job))

    async def stop(self, job: Job) -> None:
        """See JobBackend. Asks first (SIGTERM); after a grace time the supervisor kills the group."""
        await self._in_thread(lambda: _stop(self._folder_of(job), job.job_id))

    async def kept(self) -> list[str]:
        """See JobBackend."""
        return await self._in_thread(self._kept)

    async def discard(self, job_ids: Iterable[str]) -> None:
        """See JobBackend. Files of what still runs go the next time."""
        for job_id in job_ids:
            await self._in_thread(partial(self._discard, job_id))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _start(self, job: Job, surroundings: JobSurroundings) -> Mapping[str, Any]:
        folder = self._folder_of(job)
        if not _begun(folder):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._write_job(folder, job, surroundings)
                _spawn(folder)
            except OSError as error:
                _renounce(folder)
                raise CannotStart(str(error)) from error
        return {"folder": str(folder)}

    def _write_job(self, folder: Path, job: Job, surroundings: JobSurroundings) -> None:
        files = {"WAKEPOINT_INPUT": str(folder / "input.json"), "WAKEPOINT_OUTPUT": str(folder / "output.json")}
        environment = {**self._environment, **job.spec["env"], **surroundings.as_environment(), **files}
        supervise.write_atomically(folder / "input.json", job.spec["input"])
        supervise.write_atomically(
            folder / supervise.JOB, {"command": list(job.spec["command"]), "environment": environment}
        )

    def _kept(self) -> list[str]:
        return [entry.name for entry in self._folder.iterdir()] if self._folder.is_dir() else []

    def _discard(self, job_id: str) -> None:
        running = False
        for folder in (self._folder / job_id).iterdir():
            if _begun(folder) and not (folder / supervise.EXIT).exists():
                _stop(folder, job_id)
                running |= not (folder / supervise.EXIT).exists()
        if not running:
            shutil.rmtree(self._folder / job_id)

    def _folder_of(self, job: Job) -> Path:
        return self._folder / job.job_id / str(job.attempt)


def _begun(folder: Path) -> bool:
    return (folder / supervise.PROCESS).exists() or (folder / supervise.EXIT).exists()


def _spawn(folder: Path) -> None:
    """Have a supervisor that is nobody's child: init reaps it, and no signal to the runner's group reaches it."""
    # -I: beside the supervisor's file lies this one, which must not take the place of the standard library's.
    try:
        subprocess.run(  # noqa: S603 -- this interpreter with a file of this package
            [sys.executable, "-I", "-S", supervise.__file__, str(folder)],
            env={"PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            start_new_session=True,
            timeout=START_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise OSError(f"its supervisor did not start: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise OSError(f"its supervisor did not start within {START_SECONDS:g} seconds") from error


def _poll(folder: Path, job: Job) -> JobResult | None:
    if not _begun(folder):
        # Without files there is no trace of a job that was started once.
        return _lost() if job.handle is not None else None
    if not (folder / supervise.EXIT).exists():
        with supervise.locked(folder) as alone:
            if not alone:
                return None
            # It ended between the two looks, or its supervisor died. What that left running must not go on unseen.
            if not (folder / supervise.EXIT).exists():
                supervise.kill_remains(job.job_id)
                supervise.write_atomically(folder / supervise.EXIT, {"lost": True})
    ended = json.loads((folder / supervise.EXIT).read_text(encoding="utf-8"))
    return _lost() if ended.get("lost") else result_of(folder, ended)


def _stop(folder: Path, job_id: str) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / supervise.EXIT).exists():
        return
    (folder / supervise.STOP).touch()
    with supervise.locked(folder) as alone:
        if alone and not (folder / supervise.EXIT).exists():
            # Nobody supervises it: it was not started, and with this file there never is, or its supervisor died.
            supervise.kill_remains(job_id)
            supervise.write_atomically(folder / supervise.EXIT, {"exit_code": None, "stopped": True})
    _nudge(folder)


def _nudge(folder: Path) -> None:
    """The supervisor finds the `stop` file by itself within a second; a signal spares the second."""
    with suppress(FileNotFoundError, ProcessLookupError):
        process = json.loads((folder / supervise.PROCESS).read_text(encoding="utf-8"))
        if supervise.identity_of(process["pid"]) == process["identity"]:
            os.kill(process["pid"], signal.SIGTERM)


def _renounce(folder: Path) -> None:
    """A supervisor that comes late must find that it is not wanted any more."""
    with suppress(OSError):
        (folder / supervise.STOP).touch()


def _lost() -> JobResult:
    return JobResult("FAILED", error="the job is gone, and nobody saw how it ended", lost=True)
