"""A job and the runner that is looking after it: the one outlives the other."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.usecases.cancel_run import cancel_run
from tests.integration.jobs.graphs import GRANDCHILD, job_of, jobs_of, processes_of, script, until_finished, up
from tests.integration.jobs.process import killed, running
from tests.support.conditions import eventually
from tests.support.runner import Runner, runner_on
from wakepoint.chassis.database import Database


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    """The use-cases, for a test that runs replicas as processes."""
    async with runner_on(runner_db, runner_dsn, tmp_path / "jobs", claiming=False) as use_cases:
        yield use_cases


def counting(folder: Path, **properties: Any) -> dict[str, Any]:
    """A job that notes its start, and ends once there is a file `go`."""
    code = (
        "import json,os,pathlib,time\n"
        f"folder=pathlib.Path({str(folder)!r})\n"
        "with open(folder/'starts','a') as f: f.write(f'{os.getpid()}\\n')\n"
        "pathlib.Path('up').write_text('')\n"
        "end=time.monotonic()+60\n"
        "while not (folder/'go').exists() and time.monotonic()<end: time.sleep(0.01)\n"
        "json.dump({'ok':True}, open(os.environ['WAKEPOINT_OUTPUT'],'w'))"
    )
    return script(code, **properties)


def starts(folder: Path) -> list[int]:
    """The processes that the job's program was."""
    return [int(line) for line in (folder / "starts").read_text().splitlines()]


async def told(runner: Runner) -> list[tuple[int, str]]:
    """What trigger_service is still to be told, which is everything, since it is away."""
    async with runner.database.connection() as connection:
        rows = await connection.fetch("select payload from runner.outbox order by outbox_id")
    return [(row["payload"]["attempt"], row["payload"]["status"]) for row in rows]


async def completed(runner: Runner, run_id: str) -> None:
    run = await runner.until(run_id, RunState.COMPLETED, seconds=30)
    assert run.outputs == {"o": {"ok": True}}
    assert await runner.count(run_id, EventType.NODE_COMPLETED, "c") == 1
    assert await runner.count(run_id, EventType.NODE_COMPLETED, "j") == 1
    assert len(await jobs_of(runner, run_id)) == 1


async def test_a_job_outlives_its_runner_and_the_next_one_finishes_it(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    async with running(tmp_path, runner_dsn) as process:
        run_id = await runner.start(counting(tmp_path))
        job_id = await up(runner, tmp_path / "jobs", run_id)
        process.kill()
        await process.wait()
    assert [one.pid for one in processes_of(job_id)] == starts(tmp_path)
    async with running(tmp_path, runner_dsn):
        (tmp_path / "go").write_text("")
        await completed(runner, run_id)
    assert len(starts(tmp_path)) == 1
    assert await told(runner) == [(1, "LAUNCHING"), (1, "RUNNING"), (1, "COMPLETE")]


async def test_a_job_that_ended_while_no_runner_lived_is_finished_by_the_next(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    async with running(tmp_path, runner_dsn) as process:
        run_id = await runner.start(counting(tmp_path))
        job_id = await up(runner, tmp_path / "jobs", run_id)
        process.kill()
        await process.wait()
    (tmp_path / "go").write_text("")
    await eventually((tmp_path / "jobs" / job_id / "1" / "exit.json").exists)
    async with running(tmp_path, runner_dsn):
        await completed(runner, run_id)
    assert len(starts(tmp_path)) == 1


@pytest.mark.parametrize(
    "failpoint",
    [
        "runner.step.before_commit",
        "runner.step.after_commit",
        "runner.job.started",
        "runner.job.before_commit",
        "runner.job.after_commit",
    ],
)
async def test_wherever_the_runner_is_killed_there_is_one_job_and_one_end(
    runner: Runner, runner_dsn: str, tmp_path: Path, failpoint: str
) -> None:
    (tmp_path / "go").write_text("")
    async with running(tmp_path, runner_dsn, WAKEPOINT_FAILPOINT=failpoint) as process:
        run_id = await runner.start(counting(tmp_path))
        await killed(process)
    async with running(tmp_path, runner_dsn):
        await completed(runner, run_id)
    assert len(starts(tmp_path)) == 1
    assert await told(runner) == [(1, "LAUNCHING"), (1, "RUNNING"), (1, "COMPLETE")]


async def test_a_runner_that_stops_in_good_order_leaves_its_jobs_running(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    async with running(tmp_path, runner_dsn) as process:
        run_id = await runner.start(counting(tmp_path))
        job_id = await up(runner, tmp_path / "jobs", run_id)
        process.terminate()
        assert await process.wait() == 0
    assert len(processes_of(job_id)) == 1
    async with running(tmp_path, runner_dsn):
        (tmp_path / "go").write_text("")
        await completed(runner, run_id)
    assert len(starts(tmp_path)) == 1


async def test_a_job_to_be_rerun_is_stopped_and_runs_again_after_a_restart(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    async with running(tmp_path, runner_dsn) as process:
        run_id = await runner.start(counting(tmp_path, on_runner_restart="rerun"))
        job_id = await up(runner, tmp_path / "jobs", run_id)
        process.kill()
        await process.wait()
    async with running(tmp_path, runner_dsn):
        await up(runner, tmp_path / "jobs", run_id, attempt=2)
        first, second = starts(tmp_path)
        assert [one.pid for one in processes_of(job_id)] == [second]
        assert first != second
        (tmp_path / "go").write_text("")
        await completed(runner, run_id)
    assert await told(runner) == [
        *((1, "LAUNCHING"), (1, "RUNNING"), (1, "STOPPED")),
        *((2, "LAUNCHING"), (2, "RUNNING"), (2, "COMPLETE")),
    ]


async def test_a_job_to_be_rerun_that_went_down_with_its_machine_runs_again(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    async with running(tmp_path, runner_dsn) as process:
        run_id = await runner.start(counting(tmp_path, on_runner_restart="rerun"))
        job_id = await up(runner, tmp_path / "jobs", run_id)
        process.kill()
        await process.wait()
    for one in processes_of(job_id):
        os.kill(one.ppid(), signal.SIGKILL)
        one.kill()
    (tmp_path / "go").write_text("")
    async with running(tmp_path, runner_dsn):
        await completed(runner, run_id)
    assert len(starts(tmp_path)) == 2


async def test_a_job_to_be_rerun_that_ended_well_meanwhile_does_not_run_again(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    async with running(tmp_path, runner_dsn) as process:
        run_id = await runner.start(counting(tmp_path, on_runner_restart="rerun"))
        job_id = await up(runner, tmp_path / "jobs", run_id)
        process.kill()
        await process.wait()
    (tmp_path / "go").write_text("")
    await eventually((tmp_path / "jobs" / job_id / "1" / "exit.json").exists)
    async with running(tmp_path, runner_dsn):
        await completed(runner, run_id)
    assert len(starts(tmp_path)) == 1


async def test_a_job_that_is_cancelled_while_no_runner_lives_is_stopped_by_the_next(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    async with running(tmp_path, runner_dsn) as process:
        run_id = await runner.start(script(GRANDCHILD))
        job_id = await up(runner, tmp_path / "jobs", run_id)
        process.kill()
        await process.wait()
    await cancel_run(runner.database, runner.hub, run_id, "enough", None)
    assert len(processes_of(job_id)) == 2
    async with running(tmp_path, runner_dsn):
        assert (await until_finished(runner, job_id))["status"] == "STOPPED"
    assert processes_of(job_id) == []


async def test_a_job_that_is_cancelled_before_it_was_started_never_starts(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    async with running(tmp_path, runner_dsn, WAKEPOINT_FAILPOINT="runner.step.after_commit") as process:
        run_id = await runner.start(counting(tmp_path))
        await killed(process)
    job_id = await job_of(runner, run_id)
    await cancel_run(runner.database, runner.hub, run_id, "enough", None)
    async with running(tmp_path, runner_dsn):
        assert (await until_finished(runner, job_id))["status"] == "STOPPED"
    assert not (tmp_path / "starts").exists()
    assert await told(runner) == [(1, "LAUNCHING"), (1, "STOPPED")]


async def test_a_job_that_was_killed_with_its_supervisor_fails_its_node(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    async with running(tmp_path, runner_dsn):
        run_id = await runner.start(script(GRANDCHILD))
        job_id = await up(runner, tmp_path / "jobs", run_id)
        (supervised,) = [one for one in processes_of(job_id) if one.pid == os.getsid(one.pid)]
        os.kill(supervised.ppid(), signal.SIGKILL)
        run = await runner.until(run_id, RunState.FAILED, seconds=30)
    assert run.error is not None
    assert "the job is gone, and nobody saw how it ended" in run.error["message"]
    assert processes_of(job_id) == []
    assert await job_of(runner, run_id) == job_id
