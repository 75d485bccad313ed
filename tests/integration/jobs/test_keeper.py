"""What looks after jobs: not held up by one of them, nor by a database that is away."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runner_service.domain.projection import RunState
from runner_service.worker.jobs import JobKeeper, JobLimits
from tests.integration.jobs.graphs import SLEEP, job_of, processes_of, script, until_finished, up, writing
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.proxy import proxied
from tests.support.runner import Runner, chain, node, runner_on
from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.ids import new_id
from wakepoint.nodes.backends import Job, JobBackend, JobResult, JobSurroundings


class Backend:
    """A place where jobs do what the test says."""

    def __init__(self) -> None:
        self.results: dict[str, JobResult] = {}
        self.hanging: set[str] = set()
        self.broken: set[str] = set()
        self.started: list[str] = []
        self.polls = 0

    async def start(self, job: Job, surroundings: JobSurroundings) -> Mapping[str, Any]:
        if job.job_name in self.hanging:
            await asyncio.Event().wait()
        if job.job_name in self.broken:
            raise RuntimeError("the cluster does not answer")
        self.started.append(job.job_name)
        return {}

    async def poll(self, job: Job) -> JobResult | None:
        self.polls += 1
        return self.results.get(job.job_name)

    async def stop(self, job: Job) -> None:
        self.results[job.job_name] = JobResult("STOPPED")

    async def kept(self) -> list[str]:
        return []

    async def discard(self, job_ids: Iterable[str]) -> None:
        assert not list(job_ids)


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        yield running


@asynccontextmanager
async def keeping(
    runner: Runner, backend: JobBackend, *, database: Database | None = None, limits: JobLimits | None = None
) -> AsyncIterator[JobKeeper]:
    keeper = JobKeeper(database or runner.database, SystemClock(), runner.hub, "cluster", {"cluster": backend}, limits)
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def suspended(runner: Runner) -> str:
    """A run that waits, so that jobs can be submitted for it."""
    run_id = await runner.start(chain(node("m", "Manual", inactivity_timeout_seconds=0)))
    await runner.until(run_id, RunState.SUSPENDED)
    return run_id


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def submitted(runner: Runner, run_id: str, name: str, *, host: str = "cluster", backend: str = "cluster") -> str:
    job_id = new_id()
    async with runner.database.connection() as connection:
        await connection.execute(
            "insert into runner.jobs (job_id, run_id, node_id, activation, experiment_id, job_type, job_name, backend,"
            " spec, state, host) values ($1, $2, 'm', '0', 'e1', 'EVAL', $3, $4, '{}', 'SUBMITTED', $5)",
            job_id,
            run_id,
            name,
            backend,
            host,
        )
    runner.hub.jobs_changed()
    return job_id


async def test_a_backend_that_is_not_installed_fails_the_job(runner: Runner) -> None:
    job_id = await submitted(runner, await suspended(runner), "x", host="test-host", backend="moon")
    assert (await until_finished(runner, job_id))["error"] == "job backend moon is not installed here"


async def test_jobs_that_hang_or_break_hold_up_no_other(runner: Runner) -> None:
    backend = Backend()
    backend.hanging.add("hangs")
    backend.broken.add("breaks")
    backend.results["good"] = JobResult("COMPLETE", 0, {"x": 1})
    for name in ("hangs", "breaks"):
        await submitted(runner, await suspended(runner), name)
    async with keeping(runner, backend):
        job_id = await submitted(runner, await suspended(runner), "good")
        assert (await until_finished(runner, job_id))["output"] == {"x": 1}
        # What broke is tried again, and ends once it does not break any more.
        backend.broken.clear()
        backend.results["breaks"] = JobResult("COMPLETE", 0)
        await eventually(lambda: "breaks" in backend.started)


async def test_a_result_that_cannot_be_stored_still_ends_the_job(runner: Runner) -> None:
    backend = Backend()
    backend.results["bad"] = JobResult("COMPLETE", 0, "a\0b")
    async with keeping(runner, backend):
        result = await until_finished(runner, await submitted(runner, await suspended(runner), "bad"))
    assert result["status"] == "FAILED"
    assert result["error"].startswith("the job's result cannot be stored: ")


async def test_a_job_that_runs_for_long_is_looked_at_less_and_less(runner: Runner) -> None:
    backend = Backend()
    async with keeping(runner, backend):
        job_id = await submitted(runner, await suspended(runner), "long")
        await eventually(lambda: backend.polls > 0)
        await asyncio.sleep(1.5)
        # A twentieth of its age, at least 50 ms: not much more than 30 looks, however it is scheduled.
        assert backend.polls < 35
        backend.results["long"] = JobResult("COMPLETE", 0)
        await until_finished(runner, job_id)


async def test_an_end_is_recorded_once_although_two_replicas_see_it(runner: Runner) -> None:
    first, second = Backend(), Backend()
    second.results = first.results
    run_id = await suspended(runner)
    async with keeping(runner, first), keeping(runner, second):
        job_id = await submitted(runner, run_id, "j")
        await eventually(lambda: first.polls and second.polls)
        first.results["j"] = JobResult("COMPLETE", 0)
        await until_finished(runner, job_id)
    await runner.until(run_id, RunState.COMPLETED)
    await eventually(lambda: len(runner.trigger.events) == 2)
    assert [event["status"] for event in runner.trigger.events] == ["RUNNING", "COMPLETE"]


async def test_jobs_go_on_being_looked_after_once_the_database_is_back(
    runner: Runner, runner_dsn: str, tmp_path: Path
) -> None:
    backend = Backend()
    run_id = await suspended(runner)
    async with proxied(runner_dsn) as proxy:
        database = await Database.open(proxy.dsn, application_name="test")
        async with keeping(runner, backend, database=database):
            job_id = await submitted(runner, run_id, "j")
            await eventually(lambda: backend.polls > 0)
            proxy.cut()
            backend.results["j"] = JobResult("COMPLETE", 0)
            # Time for the watch to find that the end cannot be recorded.
            await asyncio.sleep(0.3)
            proxy.mend()
            assert (await until_finished(runner, job_id))["status"] == "COMPLETE"
        await database.close()


async def test_jobs_of_a_host_that_is_gone_end_so_that_their_nodes_can_go_on(runner: Runner) -> None:
    backend = Backend()
    run_id = await suspended(runner)
    lost = await submitted(runner, run_id, "lost", host="gone")
    kept = await submitted(runner, run_id, "kept", host="alive")
    async with runner.database.connection() as connection:
        await connection.execute(
            "insert into runner.replicas (replica_id, host, pid, lease_expire_time)"
            " select gen_random_uuid(), host, 1, runner.stamp() from unnest(array['gone', 'alive']) as host"
        )
    async with keeping(runner, backend, limits=JobLimits(silence=timedelta(seconds=1))):
        pass
    async with runner.database.connection() as connection:
        assert await connection.fetchval("select state from runner.jobs where job_id = $1", lost) == "SUBMITTED"
        await connection.execute("update runner.jobs set create_time = create_time - interval '1 minute'")
        await connection.execute(
            "update runner.replicas set lease_expire_time = runner.stamp() - interval '1 minute' where host = 'gone'"
        )
    async with keeping(runner, backend, limits=JobLimits(silence=timedelta(seconds=30))):
        result = await until_finished(runner, lost)
    assert result["error"] == "the machine that it ran on has not been heard of for too long"
    async with runner.database.connection() as connection:
        assert await connection.fetchval("select state from runner.jobs where job_id = $1", kept) == "SUBMITTED"


async def test_what_somebody_took_for_lost_is_stopped_where_it_still_runs(runner: Runner, tmp_path: Path) -> None:
    run_id = await runner.start(script(SLEEP))
    job_id = await up(runner, tmp_path, run_id)
    async with runner.database.connection() as connection:
        await connection.execute("update runner.jobs set state = 'FINISHED', result = '{}' where job_id = $1", job_id)
    await eventually(lambda: not processes_of(job_id))


async def test_files_of_finished_jobs_are_kept_for_a_while_and_then_removed(runner: Runner, tmp_path: Path) -> None:
    done = await runner.start(script(writing("1")))
    await runner.until(done, RunState.COMPLETED)
    going = await runner.start(script(SLEEP))
    running = await up(runner, tmp_path, going)
    (tmp_path / "notes").mkdir()
    finished = await job_of(runner, done)
    await runner.replica.jobs._clear_up()
    assert names_in(tmp_path) == {finished, running, "notes"}
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", timedelta(days=8))
    await runner.replica.jobs._clear_up()
    assert names_in(tmp_path) == {running, "notes"}
    assert processes_of(running)
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", timedelta())
        await connection.execute("update runner.jobs set state = 'STOPPING' where job_id = $1", running)
    await until_finished(runner, running)
