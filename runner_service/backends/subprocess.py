"""Jobs as processes of this machine, each under a small supervisor that outlives the runner.

A job has a folder: `job.json` (what to run), `input.json`, `output.json` (what the job leaves), `stdout.log`, `stderr.log`,
`process.json` (the supervisor's pid and start time) and `exit.json` (how it ended), which is written last.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner_service.backends import supervise
from runner_service.backends.backend import JobResult, JobSurroundings
from runner_service.domain.runs import Job

MAX_OUTPUT_BYTES = 1024 * 1024
MAX_ERROR_BYTES = 8 * 1024


class SubprocessBackend:
    """Runs jobs below `folder`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)

    async def start(self, job: Job, surroundings: JobSurroundings) -> Mapping[str, Any]:
        """See JobBackend. The supervisor takes the folder exclusively: a second one finds it taken and ends."""
        return await asyncio.to_thread(self._start, job, surroundings)

    async def poll(self, job: Job) -> JobResult | None:
        """See JobBackend."""
        return await asyncio.to_thread(self._poll, job)

    async def stop(self, job: Job) -> None:
        """See JobBackend. Asks first (SIGTERM); the supervisor kills the group when that does not help."""
        if (pid := self._supervisor(job)) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _start(self, job: Job, surroundings: JobSurroundings) -> Mapping[str, Any]:
        folder = self._folder_of(job)
        if not (folder / supervise.PROCESS).exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._write_job(folder, job, surroundings)
            _spawn_detached([sys.executable, "-I", supervise.__file__, str(folder)], folder)
        return {"folder": str(folder)}

    def _write_job(self, folder: Path, job: Job, surroundings: JobSurroundings) -> None:
        files = {"WAKEPOINT_INPUT": str(folder / "input.json"), "WAKEPOINT_OUTPUT": str(folder / "output.json")}
        environment = {**self._environment, **job.spec["env"], **surroundings.as_environment(), **files}
        (folder / "input.json").write_text(json.dumps(job.spec["input"]))
        supervise.write_atomically(
            folder / supervise.JOB, {"command": list(job.spec["command"]), "environment": environment}
        )

    def _poll(self, job: Job) -> JobResult | None:
        folder = self._folder_of(job)
        ended = _read_json(folder / supervise.EXIT)
        if ended is not None:
            return _result(folder, ended)
        if not (folder / supervise.PROCESS).exists() or self._supervisor(job) is not None:
            return None
        # The supervisor writes exit.json last: it may have done so between the two looks.
        ended = _read_json(folder / supervise.EXIT)
        return (
            _result(folder, ended) if ended else JobResult("FAILED", error="the job's process is gone without a trace")
        )

    def _supervisor(self, job: Job) -> int | None:
        """The pid of the job's living supervisor; a reused pid is recognised by its start time."""
        process = _read_json(self._folder_of(job) / supervise.PROCESS)
        if process is None or supervise.start_time_of(process["pid"]) != process["start_time"]:
            return None
        return int(process["pid"])

    def _folder_of(self, job: Job) -> Path:
        return self._folder / job.job_id


def _spawn_detached(command: list[str], folder: Path) -> None:
    """Start a process that is nobody's child: init reaps it, and no signal to the runner's group reaches it."""
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", supervise.__file__, "--detach", *command[3:]],
        {"PATH": os.environ.get("PATH", os.defpath)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(folder / "stdout.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(folder / "stderr.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        ],
        setsid=True,
    )
    os.waitpid(pid, 0)


def _result(folder: Path, ended: Mapping[str, Any]) -> JobResult:
    if ended["stopped"]:
        return JobResult("STOPPED", ended["exit_code"], error="the job was stopped")
    if ended["exit_code"] != 0:
        return JobResult("FAILED", ended["exit_code"], error=ended.get("error") or _tail(folder / "stderr.log"))
    try:
        return JobResult("COMPLETE", 0, _output(folder / "output.json"))
    except ValueError as error:
        return JobResult("FAILED", 0, error=f"the job's output cannot be taken: {error}")


def _output(path: Path) -> Any:
    if not path.exists():
        return None
    if (size := path.stat().st_size) > MAX_OUTPUT_BYTES:
        raise ValueError(f"it has {size} bytes, more than {MAX_OUTPUT_BYTES}: write a URI instead")
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_ERROR_BYTES))
        return file.read().decode("utf-8", "replace").replace("\0", "")


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return value
