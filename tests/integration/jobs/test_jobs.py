"""RunJob on a real replica, with real processes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.usecases.cancel_run import cancel_run
from tests.integration.jobs.graphs import (
    GRANDCHILD,
    SLEEP,
    command,
    job_of,
    jobs_of,
    processes_of,
    script,
    until_finished,
    up,
    writing,
)
from tests.support.conditions import eventually
from tests.support.runner import Runner, edge, node, runner_on
from wakepoint.chassis.database import Database


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        yield running


async def test_a_job_reads_its_input_and_what_it_writes_is_the_nodes_output(runner: Runner) -> None:
    names = "('WAKEPOINT_RUN_ID','WAKEPOINT_JOB_ID','WAKEPOINT_EXPERIMENT_ID','COLOUR','TRACEPARENT')"
    code = writing(f"[json.load(open(os.environ['WAKEPOINT_INPUT'])), [os.environ.get(n) for n in {names}]]")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    graph = script(code, env={"COLOUR": "blue"})
    run_id = await runner.start(graph, {"n": 1}, source={"trace_parent": trace})
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    given, environment = run.outputs["o"]
    assert given["input"] == {"n": 1}
    assert given["inputs"] == {"input": 20}
    assert given["run"]["run_id"] == run_id
    assert environment == [run_id, await job_of(runner, run_id), "e1", "blue", trace]


async def test_a_run_without_a_trace_gives_its_job_none(runner: Runner) -> None:
    run_id = await runner.start(script(writing("os.environ.get('TRACEPARENT')")))
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs == {"o": None}


async def test_the_run_is_suspended_and_held_by_nobody_while_its_job_runs(runner: Runner, tmp_path: Path) -> None:
    run_id = await runner.start(script(SLEEP))
    job_id = await up(runner, tmp_path, run_id)
    assert (await runner.get(run_id)).run.state is RunState.SUSPENDED
    assert runner.replica.worker.held == 0
    await cancel_run(runner.database, runner.hub, run_id, "enough", None)
    await until_finished(runner, job_id)


async def test_each_status_of_a_job_is_told_in_order_with_its_cause(runner: Runner) -> None:
    run_id = await runner.start(script(writing("{'accuracy': 0.9}"), job_name="judge"), source={"depth": 2})
    await runner.until(run_id, RunState.COMPLETED)
    job_id = await job_of(runner, run_id)
    await eventually(lambda: len(runner.trigger.events) == 3)
    assert [event["status"] for event in runner.trigger.events] == ["LAUNCHING", "RUNNING", "COMPLETE"]
    last = dict(runner.trigger.events[-1])
    assert last.pop("time") is not None
    assert last == {
        "event_id": f"{job_id}:1:COMPLETE",
        "source": "wakepoint/runner",
        "experiment_id": "e1",
        "job_id": job_id,
        "attempt": 1,
        "job_type": "EVAL",
        "job_name": "judge",
        "status": "COMPLETE",
        "attributes": {"accuracy": 0.9},
        "causation": {"run_id": run_id, "depth": 3},
    }


async def test_output_that_is_too_large_for_an_event_still_is_the_nodes_output(runner: Runner) -> None:
    run_id = await runner.start(script(writing("{'x': 'y' * 300_000}")))
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert len(run.outputs["o"]["x"]) == 300_000
    await eventually(lambda: len(runner.trigger.events) == 3)
    assert runner.trigger.events[-1]["attributes"] == {"output_omitted": True, "output_characters": 300_009}


async def test_a_failing_job_fails_its_node_with_exit_code_and_last_words(runner: Runner) -> None:
    run_id = await runner.start(script("import sys;print('no such model', file=sys.stderr);sys.exit(3)"))
    run = await runner.until(run_id, RunState.FAILED)
    job_id = await job_of(runner, run_id)
    assert run.error is not None
    assert run.error["message"] == f"job {job_id} ended as FAILED with exit code 3\nno such model"
    assert run.error["node_id"] == "j"
    await eventually(lambda: len(runner.trigger.events) == 3)
    assert runner.trigger.events[-1]["status"] == "FAILED"
    assert runner.trigger.events[-1]["attributes"] == {"exit_code": 3}


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (command(["no-such-program"]), "the command cannot be run: [Errno 2] No such file or directory"),
        (script(writing("'x' * 2**20")), "the job's output cannot be taken: it has more than 1048576 bytes"),
        (script(writing("float('nan')")), "the job's output cannot be taken: NaN is no JSON"),
    ],
)
async def test_what_cannot_be_run_or_kept_fails_the_node_clearly(
    runner: Runner, graph: dict[str, Any], why: str
) -> None:
    run = await runner.until(await runner.start(graph), RunState.FAILED)
    assert run.error is not None
    assert why in run.error["message"]


async def test_a_jobs_folder_that_cannot_be_made_fails_the_node_clearly(
    runner_db: Database, runner_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "full").write_text("")
    async with runner_on(runner_db, runner_dsn, tmp_path / "full") as runner:
        run = await runner.until(await runner.start(script(SLEEP)), RunState.FAILED)
        assert run.error is not None
        assert "the job cannot be started: [Errno 20] Not a directory" in run.error["message"]
        await eventually(lambda: len(runner.trigger.events) == 2)
        assert [event["status"] for event in runner.trigger.events] == ["LAUNCHING", "FAILED"]


async def test_cancelling_the_run_stops_its_job_and_all_that_it_started(runner: Runner, tmp_path: Path) -> None:
    run_id = await runner.start(script(GRANDCHILD))
    job_id = await up(runner, tmp_path, run_id)
    assert len(processes_of(job_id)) == 2
    await cancel_run(runner.database, runner.hub, run_id, "enough", None)
    assert (await until_finished(runner, job_id))["status"] == "STOPPED"
    assert processes_of(job_id) == []
    await eventually(lambda: len(runner.trigger.events) == 3)
    assert [event["status"] for event in runner.trigger.events] == ["LAUNCHING", "RUNNING", "STOPPED"]
    assert (await runner.get(run_id)).run.state is RunState.CANCELLED


async def test_when_another_node_fails_the_run_its_job_is_stopped(runner: Runner, tmp_path: Path) -> None:
    job = script(SLEEP)["nodes"][1]
    graph = {
        "nodes": [job, node("m", "Manual", inactivity_timeout_seconds=0), node("e", "Expression", expression="1 / 0")],
        "edges": [edge("m", "e")],
    }
    run_id = await runner.start(graph)
    job_id = await up(runner, tmp_path, run_id)
    await runner.wake(run_id, "m", {})
    await runner.until(run_id, RunState.FAILED)
    assert (await until_finished(runner, job_id))["status"] == "STOPPED"
    assert processes_of(job_id) == []


async def test_a_retry_is_a_new_job(runner: Runner, tmp_path: Path) -> None:
    mark = tmp_path / "tried"
    code = f"import pathlib,sys;m=pathlib.Path({str(mark)!r});f=m.exists();m.write_text('');sys.exit(0 if f else 1)"
    retry = {"max_attempts": 3, "initial_backoff_seconds": 0.01}
    run_id = await runner.start(script(code, retry=retry))
    await runner.until(run_id, RunState.COMPLETED)
    first, second = await jobs_of(runner, run_id)
    assert first != second
    await eventually(lambda: len(runner.trigger.events) == 6)
    told = [(event["job_id"], event["status"]) for event in runner.trigger.events]
    assert [status for job_id, status in told if job_id == first] == ["LAUNCHING", "RUNNING", "FAILED"]
    assert [status for job_id, status in told if job_id == second] == ["LAUNCHING", "RUNNING", "COMPLETE"]
    assert await runner.count(run_id, EventType.NODE_RETRY_SCHEDULED, "j") == 1


async def test_retries_end_with_the_last_jobs_error(runner: Runner) -> None:
    retry = {"max_attempts": 2, "initial_backoff_seconds": 0.01}
    run_id = await runner.start(script("import sys;sys.exit(7)", retry=retry))
    run = await runner.until(run_id, RunState.FAILED)
    jobs = await jobs_of(runner, run_id)
    assert len(jobs) == 2
    assert run.error is not None
    assert run.error["message"] == f"job {jobs[1]} ended as FAILED with exit code 7"


async def test_a_wake_up_from_outside_does_not_end_the_wait_for_a_job(runner: Runner, tmp_path: Path) -> None:
    code = (
        "import pathlib,time;pathlib.Path('up').write_text('');"
        f"g=pathlib.Path({str(tmp_path / 'go')!r});exec('while not g.exists(): time.sleep(0.01)');" + writing("1")
    )
    run_id = await runner.start(script(code))
    await up(runner, tmp_path, run_id)
    await runner.wake(run_id, "j", {"status": "COMPLETE"})
    await eventually(lambda: _consumed(runner, run_id))
    await runner.until(run_id, RunState.SUSPENDED)
    (tmp_path / "go").write_text("")
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs == {"o": 1}
    assert len(await jobs_of(runner, run_id)) == 1


async def _consumed(runner: Runner, run_id: str) -> bool:
    async with runner.database.connection() as connection:
        states = await connection.fetch("select state from runner.inbox where run_id = $1", run_id)
    return [row["state"] for row in states] == ["CONSUMED"]


async def test_many_jobs_run_side_by_side(runner: Runner) -> None:
    nodes = [script(writing(str(n)))["nodes"][1] | {"id": f"j{n}"} for n in range(12)]
    edges = [edge(n["id"], "e", target_input=n["id"]) for n in nodes]
    graph = {
        "nodes": [*nodes, node("e", "Expression", expression="inputs"), node("o", "Output")],
        "edges": [*edges, edge("e", "o")],
    }
    run = await runner.until(await runner.start(graph), RunState.COMPLETED, seconds=30)
    assert run.outputs == {"o": {f"j{n}": n for n in range(12)}}
