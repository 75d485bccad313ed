"""kill -9 at every boundary between two transactions of either service, with everything else real, and the run that
stands there ends as if nothing had happened: one run, each job run once, each outcome recorded once."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.embedded.watching import processes_of
from tests.support.conditions import eventually, eventually_sync
from wakepoint.chassis.ids import new_id
from wakepoint.cli.stack import Service, Stack
from wakepoint.client import Client, to_python
from wakepoint.runner.v1.runner_pb2 import Run, SuspendedNode
from wakepoint.trigger.v1.trigger_pb2 import FIRING_STATE_DISPATCHED
from wakepoint.workflow.v1.execution_pb2 import RUN_STATE_COMPLETED

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

# Short, because what a dead process held is taken up when its lease has run out.
SETTINGS = {
    "RUNNER_LEASE_SECONDS": "3",
    "RUNNER_HEARTBEAT_SECONDS": "0.5",
    "TRIGGER_DISPATCH_LEASE": "3",
    "TRIGGER_RUNNER_DEADLINE": "2",
}
VARIABLE = "WAKEPOINT_FAILPOINT"
PATIENCE = 45.0

# Tells that it ran, then leaves its output.
JOB = """
import json, os, sys
with open(sys.argv[1], "a") as ran:
    ran.write(sys.argv[2] + "\\n")
with open(os.environ["WAKEPOINT_OUTPUT"], "w") as output:
    json.dump({"made_by": sys.argv[2]}, output)
"""

# The run's steps: the evaluation is started, it has ended and the approval waits in memory, the approval is suspended,
# it has come and the export is started, the export has ended.
STEPS = 5
BOUNDARIES = [
    "trigger.report.before_commit@2",
    "trigger.report.after_commit@2",
    "trigger.dispatch.leased",
    "trigger.dispatch.sent",
    "trigger.dispatch.recorded",
    "runner.start.before_commit",
    "runner.start.after_commit",
    *(f"runner.step.{side}_commit@{step}" for step in range(1, STEPS + 1) for side in ("before", "after")),
    "runner.job.started",
    "runner.job.before_commit",
    "runner.job.after_commit",
    "runner.outbox.sent",
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Everything, in a folder that the database server's user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="wakepoint-kills-"))
    folder.chmod(0o755)
    with Stack(folder / "data", any_ports=True, environment=SETTINGS) as stack:
        yield stack
    eventually_sync(lambda: processes_of(folder) == [])
    shutil.rmtree(folder)


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    addresses = stack.addresses
    async with Client(trigger_address=addresses["trigger"].grpc, runner_address=addresses["runner"].grpc) as client:
        yield client


def arm(stack: Stack, service: Service, boundary: str) -> None:
    """Start the service anew, to die at that boundary."""
    stack.kill(service)
    stack._services[service]._environment = {**stack._services[service]._environment, VARIABLE: boundary}
    stack.start_service(service)


def revive(stack: Stack, service: Service) -> None:
    """Start the service that died, to live."""
    environment = stack._services[service]._environment
    stack._services[service]._environment = {name: value for name, value in environment.items() if name != VARIABLE}
    stack.start_service(service)


@asynccontextmanager
async def dying_once(stack: Stack, boundary: str) -> AsyncIterator[None]:
    """While this lasts the boundary's service dies there once, and is started again at once."""
    service: Service = "trigger" if boundary.startswith("trigger.") else "runner"
    await asyncio.to_thread(arm, stack, service, boundary)

    async def tend() -> None:
        await eventually(lambda: stack.pid(service) is None, timeout=PATIENCE)
        await asyncio.to_thread(revive, stack, service)

    async with asyncio.TaskGroup() as tasks:
        died = tasks.create_task(tend())
        yield
        # What did not die proves nothing: then this fails.
        await died


def train_to_export(folder: Path) -> dict[str, Any]:
    """Evaluate, wait for a person, export; both jobs tell in `ran` that they ran."""

    def job(job_type: str, name: str) -> dict[str, Any]:
        return {"job_type": job_type, "command": [sys.executable, "-I", "-c", JOB, str(folder / "ran"), name]}

    return {
        "nodes": [
            {"id": "evaluate", "type": "RunJob", "properties": job("EVAL", "evaluate")},
            {"id": "approval", "type": "Approval", "properties": {"inactivity_timeout_seconds": 1}},
            {"id": "export", "type": "RunJob", "properties": job("EXPORT_MODEL", "export")},
            {"id": "exported", "type": "Output"},
        ],
        "edges": [
            {"source": "evaluate", "target": "approval"},
            {"source": "approval", "source_output": "approved", "target": "export"},
            {"source": "export", "target": "exported"},
        ],
    }


NOTE = {"nodes": [{"id": "note", "type": "Expression", "properties": {"expression": "input.job.attributes.made_by"}}]}


@pytest.mark.parametrize("boundary", BOUNDARIES)
async def test_a_kill_at_any_boundary_changes_nothing(
    stack: Stack, client: Client, tmp_path: Path, boundary: str
) -> None:
    experiment = f"e-{new_id()}"
    first = await client.create_workflow(
        experiment_id=experiment, name="first", graph=train_to_export(tmp_path), triggers=["TRAIN"]
    )
    second = await client.create_workflow(
        experiment_id=experiment, name="second", graph=NOTE, triggers=["EXPORT_MODEL"]
    )
    async with dying_once(stack, boundary):
        await report(client, experiment)
        (waiting,) = await eventually(lambda: approvals(client, first.workflow_id), timeout=PATIENCE)
        await approve(str(waiting.metadata["webhook_url"]))
        (run,) = await eventually(lambda: completed(client, first.workflow_id), timeout=PATIENCE)
        await eventually(lambda: completed(client, second.workflow_id), timeout=PATIENCE)
    assert (tmp_path / "ran").read_text().split() == ["evaluate", "export"]
    assert to_python(run.outputs) == {"exported": {"made_by": "export"}}
    log = [entry async for entry in client.list_run_events(run.run_id)]
    assert [entry.seq for entry in log] == list(range(1, len(log) + 1))
    outcomes = sorted(entry.node_id for entry in log if entry.event_type == "NodeCompleted")
    assert outcomes == ["approval", "evaluate", "export", "exported"]
    await eventually(lambda: fired_once(client, first.workflow_id), timeout=PATIENCE)
    await eventually(lambda: fired_once(client, second.workflow_id), timeout=PATIENCE)


async def fired_once(client: Client, workflow_id: str) -> bool:
    """Whether the workflow's one firing is known to have become its one run; a second of either fails at once."""
    (firing,) = [firing async for firing in client.list_firings(workflow_id=workflow_id)]
    (run,) = [run async for run in client.list_runs(workflow_id=workflow_id)]
    return (firing.state, firing.run_id) == (FIRING_STATE_DISPATCHED, run.run_id)


async def report(client: Client, experiment: str) -> None:
    """A job that is RUNNING, then COMPLETE; each report is repeated by the client until it is acknowledged."""
    for status in ("RUNNING", "COMPLETE"):
        await client.report_job_event(experiment_id=experiment, job_id="j", job_type="TRAIN", status=status)


async def approvals(client: Client, workflow_id: str) -> list[SuspendedNode]:
    """The approval's row, once it is suspended."""
    return [node async for node in client.list_suspended(workflow_id=workflow_id, node_type="Approval")]


async def approve(url: str) -> None:
    """Post the approval until it is accepted, as any sender of webhooks does; its key makes that safe."""

    async def accepted() -> bool:
        async with httpx.AsyncClient(trust_env=False) as http:
            try:
                answer = await http.post(url, json={"approved": True}, headers={"Idempotency-Key": url[-40:]})
            except httpx.TransportError:
                return False
            return answer.status_code == 202

    await eventually(accepted, timeout=PATIENCE)


async def completed(client: Client, workflow_id: str) -> list[Run]:
    """The workflow's run, once it is COMPLETED."""
    return [run async for run in client.list_runs(workflow_id=workflow_id, states=[RUN_STATE_COMPLETED])]
