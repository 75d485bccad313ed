"""RunJob on a real replica, with real processes."""

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.usecases.cancel_run import cancel_run
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, node, runner_on
from wakepoint.chassis.database import Database


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        yield running


def script(code: str, **properties: Any) -> dict[str, Any]:
    """A graph with one RunJob that runs this Python code."""
    return command([sys.executable, "-c", code], **properties)


def command(words: list[str], *, retry: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    job = node("j", "RunJob", job_type="EVAL", command=words, **properties)
    if retry is not None:
        job["retry"] = retry
    return chain(node("c", "Constant", value=20), job, node("o", "Output"))


WRITE = "import json,os; json.dump({}, open(os.environ['WAKEPOINT_OUTPUT'],'w'))"


async def test_a_job_reads_its_input_and_what_it_writes_is_the_nodes_output(runner: Runner) -> None:
    code = (
        "import json,os;e=os.environ;i=json.load(open(e['WAKEPOINT_INPUT']));"
        "names=('WAKEPOINT_RUN_ID','WAKEPOINT_JOB_ID','WAKEPOINT_EXPERIMENT_ID','COLOUR','TRACEPARENT');"
        "json.dump({'input':i,'env':[e.get(n) for n in names]},open(e['WAKEPOINT_OUTPUT'],'w'))"
    )
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    graph = script(code, env={"COLOUR": "blue"})
    run_id = await runner.start(graph, {"n": 1}, source={"trace_parent": trace})
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    output = run.outputs["o"]
    assert output["input"]["input"] == {"n": 1}
    assert output["input"]["inputs"] == {"input": 20}
    job_id = runner.trigger.events[0]["job_id"]
    assert output["env"] == [run_id, job_id, "e1", "blue", trace]
