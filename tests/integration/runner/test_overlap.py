"""Runs that exclude each other, and runs with a deadline."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

from runner_service.domain.history import EventType
from runner_service.domain.overlap import OnConflict
from runner_service.domain.projection import RunState
from runner_service.usecases.cancel_run import cancel_run
from runner_service.usecases.fail_overdue_runs import fail_overdue_runs
from runner_service.usecases.let_runs_in import let_runs_in
from runner_service.usecases.start_runs import StartDisposition, Started, StartRequest, start_run, start_runs
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.clock import SystemClock
from wakepoint.nodes import Context, Node

MANUAL = chain(node("m", "Manual", inactivity_timeout_seconds=0), node("o", "Output"))


async def start(runner: Runner, on_conflict: OnConflict, key: str = "k", **options: Any) -> Started:
    request = StartRequest("w1", "e1", MANUAL, concurrency_key=key, on_conflict=on_conflict, **options)
    return await start_run(runner.database, runner.hub, runner.registry.facts, request)


async def states(runner: Runner) -> Counter[str]:
    return Counter(row["state"] for row in await runner.rows("select state from runner.runs"))


async def test_of_sixty_four_concurrent_starts_that_skip_one_runs(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        started = await asyncio.gather(*(start(outside, OnConflict.SKIP) for _ in range(64)))
        assert Counter(one.disposition for one in started) == {
            StartDisposition.CREATED: 1,
            StartDisposition.SKIPPED: 63,
        }
        assert await states(outside) == {"QUEUED": 1}


async def test_of_sixty_four_concurrent_starts_that_cancel_the_last_one_survives(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        started = await asyncio.gather(*(start(outside, OnConflict.CANCEL_PREVIOUS) for _ in range(64)))
        assert {one.disposition for one in started} == {StartDisposition.CREATED}
        assert await states(outside) == {"QUEUED": 1, "CANCELLED": 63}
        (last,) = await outside.rows("select run_id from runner.runs order by turn desc limit 1")
        assert (await outside.get(str(last["run_id"]))).run.state is RunState.QUEUED


async def test_queued_runs_start_one_after_the_other_in_the_order_of_their_turns(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        started = await asyncio.gather(*(start(outside, OnConflict.QUEUE) for _ in range(64)))
        assert Counter(one.disposition for one in started)[StartDisposition.CREATED] == 1
        rows = await outside.rows("select run_id, behind from runner.runs order by turn")
        assert [row["behind"] for row in rows] == [False] + [True] * 63
        ids = [str(row["run_id"]) for row in rows]
        assert await let_runs_in(outside.database, outside.hub) == 0, "the first is unfinished"
        for ended, following in pairwise(ids[:4]):
            await cancel_run(outside.database, outside.hub, ended, "", None)
            both = [let_runs_in(outside.database, outside.hub) for _ in range(2)]
            assert sum(await asyncio.gather(*both)) == 1
            ready = await outside.rows("select run_id from runner.runs where state = 'QUEUED' and not behind")
            assert [str(row["run_id"]) for row in ready] == [following]


async def test_a_run_in_line_goes_on_by_itself_when_the_one_before_it_completes(replica: Replicas) -> None:
    async with replica() as runner:
        first = (await start(runner, OnConflict.QUEUE)).run.run_id
        second = (await start(runner, OnConflict.QUEUE)).run.run_id
        await runner.until(first, RunState.SUSPENDED)
        assert (await runner.get(second)).run.state is RunState.QUEUED
        await runner.wake(second, "m", "early")
        await runner.wake(first, "m")
        await runner.until(first, RunState.COMPLETED)
        assert (await runner.until(second, RunState.COMPLETED)).outputs is not None


async def test_other_keys_workflows_and_experiments_are_no_conflict(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        await start(outside, OnConflict.SKIP)
        assert (await start(outside, OnConflict.SKIP, key="other")).disposition is StartDisposition.CREATED
        for workflow_id, experiment_id in (("w2", "e1"), ("w1", "e2")):
            request = StartRequest(workflow_id, experiment_id, MANUAL, concurrency_key="k", on_conflict=OnConflict.SKIP)
            started = await start_run(outside.database, outside.hub, outside.registry.facts, request)
            assert started.disposition is StartDisposition.CREATED


async def test_a_skipped_request_stays_skipped_when_it_is_repeated(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        first = await start(outside, OnConflict.SKIP)
        assert (await start(outside, OnConflict.SKIP, request_id="r")).disposition is StartDisposition.SKIPPED
        await cancel_run(outside.database, outside.hub, first.run.run_id, "", None)
        assert (await start(outside, OnConflict.SKIP, request_id="r")).disposition is StartDisposition.SKIPPED
        assert (await start(outside, OnConflict.SKIP, request_id="s")).disposition is StartDisposition.CREATED


async def test_a_batch_decides_its_requests_in_their_order(replica: Replicas) -> None:
    choices = [OnConflict.QUEUE, OnConflict.SKIP, OnConflict.QUEUE, OnConflict.CANCEL_PREVIOUS, OnConflict.ALLOW]
    async with replica(claiming=False) as outside:
        requests = [StartRequest("w1", "e1", MANUAL, concurrency_key="k", on_conflict=choice) for choice in choices]
        results = await start_runs(outside.database, outside.hub, outside.registry.facts, requests, {})
        dispositions = [result.disposition for result in results if isinstance(result, Started)]
        created, behind, skipped = (
            StartDisposition.CREATED,
            StartDisposition.QUEUED_BEHIND,
            StartDisposition.SKIPPED,
        )
        assert dispositions == [created, skipped, behind, created, created]
        assert await states(outside) == {"CANCELLED": 2, "QUEUED": 2}


async def test_a_passed_deadline_fails_a_run_by_the_databases_clock_and_kills_what_executes(replica: Replicas) -> None:
    killed = asyncio.Event()
    began = asyncio.Event()

    class Endless(Node):
        async def process(self, context: Context) -> Any:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                killed.set()

    async with replica(nodes=[Endless]) as runner:
        deadline = SystemClock().now() + timedelta(hours=1)
        run_id = await runner.start(chain(node("n", "Endless")), deadline=deadline)
        await began.wait()
        async with runner.database.connection() as connection:
            await set_clock_offset(connection, "runner", timedelta(minutes=59))
        assert await fail_overdue_runs(runner.database, runner.hub) == 0
        async with runner.database.connection() as connection:
            await set_clock_offset(connection, "runner", timedelta(minutes=61))
        run = await runner.until(run_id, RunState.FAILED)
        assert run.error is not None
        assert run.error["type"] == "DeadlineExceeded"
        await asyncio.wait_for(killed.wait(), 5)
        assert await runner.count(run_id, EventType.NODE_COMPLETED) == 0


async def test_a_suspended_run_and_one_in_line_fail_at_their_deadlines_too(replica: Replicas) -> None:
    deadline = SystemClock().now() + timedelta(hours=1)
    async with replica() as runner:
        first = (await start(runner, OnConflict.QUEUE, deadline=deadline)).run.run_id
        second = (await start(runner, OnConflict.QUEUE, deadline=deadline)).run.run_id
        await runner.until(first, RunState.SUSPENDED)
        async with runner.database.connection() as connection:
            await set_clock_offset(connection, "runner", timedelta(minutes=61))

        async def failed() -> bool:
            return await states(runner) == {"FAILED": 2}

        await eventually(failed)
        assert await runner.waits(first) == {}
        assert await runner.count(second, EventType.RUN_FAILED) == 1
