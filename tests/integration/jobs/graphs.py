"""Graphs around one RunJob node, and the processes that such a job is."""

import sys
from pathlib import Path
from typing import Any

import psutil

from runner_service.domain.projection import RunState
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, node

UP = "import pathlib;pathlib.Path('up').write_text('');"
SLEEP = UP + "import time;time.sleep(60)"
GRANDCHILD = "import subprocess,sys;subprocess.Popen([sys.executable,'-c','import time;time.sleep(60)']);" + SLEEP


def script(code: str, **properties: Any) -> dict[str, Any]:
    """A graph with one RunJob, `j`, that runs this Python code."""
    return command([sys.executable, "-c", code], **properties)


def command(words: list[str], *, retry: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    """A graph with one RunJob, `j`, that runs this command."""
    job = node("j", "RunJob", job_type="EVAL", command=words, **properties)
    if retry is not None:
        job["retry"] = retry
    return chain(node("c", "Constant", value=20), job, node("o", "Output"))


def writing(value: str) -> str:
    """Code that leaves the value of an expression as the job's output."""
    return f"import json,os;json.dump({value}, open(os.environ['WAKEPOINT_OUTPUT'],'w'))"


def processes_of(job_id: str) -> list[psutil.Process]:
    """Whatever lives and has inherited the job's id."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WAKEPOINT_JOB_ID") == job_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


async def up(runner: Runner, folder: Path, run_id: str, attempt: int = 1) -> str:
    """Wait until the run's job has begun to do something; the job's id."""

    async def begun() -> str:
        job_id = await job_of(runner, run_id)
        assert (folder / job_id / str(attempt) / "up").exists()
        return job_id

    await runner.until(run_id, RunState.SUSPENDED)
    return await eventually(begun)


async def job_of(runner: Runner, run_id: str) -> str:
    """The run's one job."""
    (job_id,) = await jobs_of(runner, run_id)
    return job_id


async def jobs_of(runner: Runner, run_id: str) -> list[str]:
    """The run's jobs, as they were submitted."""
    async with runner.database.connection() as connection:
        rows = await connection.fetch("select job_id from runner.jobs where run_id = $1 order by create_time", run_id)
    return [str(row["job_id"]) for row in rows]


async def until_finished(runner: Runner, job_id: str) -> dict[str, Any]:
    """The job's result, once it has one."""

    async def finished() -> dict[str, Any]:
        async with runner.database.connection() as connection:
            result = await connection.fetchval(
                "select result from runner.jobs where job_id = $1 and state = 'FINISHED'", job_id
            )
        assert isinstance(result, dict)
        return result

    return await eventually(finished, 20)
