"""RetryRun: the same run again, without what it has done already."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.usecases.retry_run import retry_run
from tests.support.runner import Runner, chain, node, runner_on
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import FailedPrecondition, NotFound
from wakepoint.chassis.ids import new_id
from wakepoint.nodes import Context, Node, NodeError


class FailsUntilRetried(Node):
    """Fails in the run's first attempt."""

    async def process(self, context: Context) -> Any:
        """Give the input on, from the second attempt of the run."""
        if context.run.attempt == 1:
            raise NodeError("not yet")
        return context.inputs["input"]


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    async with runner_on(runner_db, runner_dsn, tmp_path, nodes=[FailsUntilRetried]) as running:
        yield running


async def retry(runner: Runner, run_id: str) -> None:
    await retry_run(runner.database, runner.hub, run_id, "mended", None)


async def test_a_retried_run_keeps_what_completed_and_repeats_what_failed(runner: Runner) -> None:
    graph = chain(node("m", "Manual"), node("f", "FailsUntilRetried"), node("o", "Output"))
    run_id = await runner.start(graph)
    await runner.wake(run_id, "m", "once")
    await runner.until(run_id, RunState.FAILED)
    await retry(runner, run_id)
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.attempt == 2
    assert run.error is None
    assert run.outputs is not None
    assert run.outputs["o"]["payload"] == "once"
    assert await runner.count(run_id, EventType.NODE_COMPLETED, "m") == 1
    assert [e.seq for e in await runner.log(run_id)] == list(range(1, run.last_seq + 1))


async def test_events_that_the_failure_dead_lettered_are_pending_again(runner: Runner) -> None:
    graph = chain(
        node("c", "Constant", value=1), node("f", "FailsUntilRetried"), node("m", "Manual"), node("o", "Output")
    )
    run_id = await runner.start(graph)
    await runner.until(run_id, RunState.FAILED)
    async with runner.database.connection() as connection:
        await connection.execute(
            "insert into runner.inbox (run_id, inbox_seq, node_id, source, event_id, event, state, reason)"
            " values ($1, 1, 'm', 's', 'early', $2, 'DEAD_LETTERED', 'the run has failed')",
            run_id,
            {"event_id": "early", "source": "s", "type": "t", "payload": 7, "timestamp": "", "occur_time": ""},
        )
        await connection.execute("update runner.runs set last_inbox_seq = 1 where run_id = $1", run_id)
    await retry(runner, run_id)
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert run.outputs["o"]["payload"] == 7


async def test_a_retried_run_starts_a_job_of_its_own(runner: Runner, tmp_path: Path) -> None:
    flag = tmp_path / "mended"
    command = ["sh", "-c", f"test -e {flag}"]
    run_id = await runner.start(chain(node("j", "RunJob", job_type="TRAIN", command=command)))
    await runner.until(run_id, RunState.FAILED)
    flag.touch()
    await retry(runner, run_id)
    await runner.until(run_id, RunState.COMPLETED)
    async with runner.database.connection() as connection:
        assert await connection.fetchval("select count(*) from runner.jobs where run_id = $1", run_id) == 2


async def test_only_a_failed_run_can_be_retried(runner: Runner) -> None:
    run_id = await runner.start(chain(node("c", "Constant", value=1)))
    await runner.until(run_id, RunState.COMPLETED)
    with pytest.raises(FailedPrecondition, match="completed"):
        await retry(runner, run_id)
    with pytest.raises(NotFound):
        await retry(runner, new_id())
