"""Runs from start to end, on a real database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.domain.runs import Disposition
from tests.support.runner import Runner, chain, node, runner_on
from wakepoint.chassis.database import Database


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        yield running


async def test_a_run_without_waits_completes_with_its_outputs(runner: Runner) -> None:
    graph = chain(
        node("c", "Constant", value=20), node("e", "Expression", expression="inputs.input * 2 + 2"), node("o", "Output")
    )
    run = await runner.until(await runner.start(graph), RunState.COMPLETED)
    assert run.outputs == {"o": 42}


async def test_a_waiting_run_goes_on_when_it_is_woken(runner: Runner) -> None:
    run_id = await runner.start(chain(node("c", "Constant", value=1), node("m", "Manual"), node("o", "Output")))
    assert (await runner.wake(run_id, "m", {"x": 1}, "e1")).disposition in (Disposition.DELIVERED, Disposition.BUFFERED)
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert run.outputs["o"]["payload"] == {"x": 1}


async def test_a_suspended_run_resumes_with_what_its_upstream_gave_out(runner: Runner) -> None:
    graph = chain(
        node("c", "Constant", value=1), node("m", "Manual", inactivity_timeout_seconds=0), node("o", "Output")
    )
    run_id = await runner.start(graph)
    suspended = await runner.until(run_id, RunState.SUSPENDED)
    assert suspended.suspended_node_ids == ("m",)
    assert (await runner.wake(run_id, "m", "go")).disposition is Disposition.DELIVERED
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert run.outputs["o"]["payload"] == "go"
    assert await runner.count(run_id, EventType.NODE_COMPLETED, "c") == 1
    assert [e.seq for e in await runner.log(run_id)] == list(range(1, run.last_seq + 1))
