"""RunJob: one job, a suspension, its outcome."""

from typing import Any

import pytest

from runner_service.nodes import RunJob
from tests.support.node_host import Completed, NodeLife, Suspended
from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import NodeError


def job() -> RunJob:
    return RunJob(job_type="EVAL", command=["python", "eval.py"], env={"SEED": "1"})


async def started(clock: ManualClock) -> NodeLife:
    life = NodeLife(clock, job, run_input={"n": 1}, inputs={"model": "uri"})
    outcome = await life.passage()
    assert outcome == Suspended(
        reason="Job running",
        state={"job_id": "job-1", "failures": 0},
        metadata={"job_id": "job-1", "job_type": "EVAL", "backend": "subprocess"},
        wake_time=None,
    )
    return life


def end(life: NodeLife, job_id: str = "job-1", *, source: str = "wakepoint/job", **result: Any) -> None:
    payload = {"job_id": job_id, "status": "COMPLETE", "exit_code": 0, "output": None, "error": "", **result}
    life.host.deliver(f"{job_id}:end", payload, source=source, type="wakepoint.job")


async def test_a_job_is_started_with_what_the_node_knows_and_the_run_suspends(manual_clock: ManualClock) -> None:
    life = await started(manual_clock)
    assert life.host.jobs == [
        {
            "job_type": "EVAL",
            "job_name": "node",
            "backend": "subprocess",
            "spec": {
                "command": ["python", "eval.py"],
                "env": {"SEED": "1"},
                "resources": {},
                "on_runner_restart": "reattach",
                "input": {"input": {"n": 1}, "inputs": {"model": "uri"}, "run": life.run.as_mapping()},
            },
        }
    ]


async def test_what_a_complete_job_wrote_is_the_output_and_no_second_job_starts(manual_clock: ManualClock) -> None:
    life = await started(manual_clock)
    end(life, output={"accuracy": 0.9})
    assert await life.passage() == Completed({"accuracy": 0.9})
    assert len(life.host.jobs) == 1


async def test_a_failed_job_fails_the_node_with_its_exit_code_and_last_lines(manual_clock: ManualClock) -> None:
    life = await started(manual_clock)
    end(life, status="FAILED", exit_code=3, error="\n".join(f"line {n}" for n in range(100)))
    with pytest.raises(NodeError) as caught:
        await life.passage()
    first, *rest = str(caught.value).splitlines()
    assert first == "job job-1 ended as FAILED with exit code 3"
    assert rest == [f"line {n}" for n in range(80, 100)]
    assert caught.value.retryable


async def test_a_stopped_job_fails_the_node_although_it_has_no_exit_code(manual_clock: ManualClock) -> None:
    life = await started(manual_clock)
    end(life, status="STOPPED", exit_code=None, error=None)
    with pytest.raises(NodeError, match=r"^job job-1 ended as STOPPED$"):
        await life.passage()


async def test_news_of_another_job_or_from_somebody_else_leave_the_node_waiting(manual_clock: ManualClock) -> None:
    life = await started(manual_clock)
    end(life, "job-0", status="FAILED")
    end(life, source="somebody/else")
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.state == {"job_id": "job-1", "failures": 0}
    assert not life.host.pending
    end(life, output=1)
    assert await life.passage() == Completed(1)


async def test_after_a_failed_job_the_next_attempt_starts_a_job_of_its_own(manual_clock: ManualClock) -> None:
    life = await started(manual_clock)
    end(life, status="FAILED", exit_code=1)
    failed = list(life.host.pending)
    with pytest.raises(NodeError):
        await life.passage()
    life.failures += 1
    life.host.pending.extend(failed)  # the runner gives back what a failed attempt took
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.state == {"job_id": "job-2", "failures": 1}
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.state["job_id"] == "job-2"
    end(life, "job-2", output="second")
    assert await life.passage() == Completed("second")
