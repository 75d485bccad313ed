"""Both services as processes: a job of one workflow starts another."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import ParseDict

from tests.integration.jobs.graphs import script, writing
from tests.integration.jobs.process import running as running_runner
from tests.integration.trigger.harness import configs
from tests.integration.trigger.harness import graph as constant
from tests.integration.trigger.process import running as running_trigger
from tests.support.conditions import eventually
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.workflow.v1.execution_pb2 import RUN_STATE_COMPLETED, RUN_STATE_FAILED
from wakepoint.workflow.v1.graph_pb2 import Graph

if TYPE_CHECKING:
    from wakepoint.trigger.v1.trigger_service_pb2_grpc import TriggerServiceAsyncStub


class Services:
    """Both of them, seen from a client of trigger_service."""

    def __init__(self, stub: "TriggerServiceAsyncStub") -> None:
        self._stub = stub

    async def create(self, name: str, graph: Graph, **enabled: dict[str, Any]) -> str:
        request = calls.CreateWorkflowRequest(
            experiment_id="e1", name=name, graph=graph, trigger_configs=configs(**enabled)
        )
        return (await self._stub.CreateWorkflow(request)).workflow.workflow_id

    async def run(self, workflow_id: str) -> None:
        await self._stub.RunWorkflow(calls.RunWorkflowRequest(workflow_id=workflow_id, experiment_id="e1"))

    async def firings(self, workflow_id: str) -> list[messages.Firing]:
        request = calls.ListFiringsRequest(workflow_id=workflow_id, experiment_id="e1")
        return list((await self._stub.ListFirings(request)).firings)

    async def ended(self, workflow_id: str) -> messages.Firing:
        """The workflow's one firing, once its run has ended."""

        async def reported() -> messages.Firing:
            (firing,) = await self.firings(workflow_id) or [messages.Firing()]
            assert firing.HasField("run_end_time")
            return firing

        return await eventually(reported, 20)


@asynccontextmanager
async def both(folder: Path, trigger_dsn: str, runner_dsn: str) -> AsyncIterator[Services]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        runner_address = f"127.0.0.1:{one.getsockname()[1]}"
    for name in ("trigger", "runner"):
        (folder / name).mkdir()
    async with running_trigger(folder / "trigger", trigger_dsn, runner_address) as trigger:
        address = json.loads((folder / "trigger" / "addresses.json").read_text())["grpc"]
        options = {"trigger": address, "RUNNER_GRPC_ADDRESS": runner_address}
        async with running_runner(folder / "runner", runner_dsn, **options):
            yield Services(trigger.stub)


async def test_a_job_starts_the_workflow_that_asked_for_it_and_how_runs_end_is_known(
    trigger_dsn: str, runner_dsn: str, tmp_path: Path
) -> None:
    async with both(tmp_path, trigger_dsn, runner_dsn) as services:
        judging = ParseDict(script(writing("{'accuracy': 0.9}"), job_name="judge"), Graph())
        judge = await services.create("judge", judging)
        failing = await services.create("fail", ParseDict(script("import sys;sys.exit(1)"), Graph()))
        publish = await services.create("publish", constant("x"), EVAL={"condition": "job.attributes.accuracy > 0.8"})
        unwanted = await services.create("never", constant("y"), EVAL={"condition": "job.attributes.accuracy > 0.95"})
        await services.run(failing)
        await services.run(judge)
        assert (await services.ended(failing)).run_state == RUN_STATE_FAILED
        assert (await services.ended(judge)).run_state == RUN_STATE_COMPLETED
        fired = await services.ended(publish)
        assert (fired.run_state, fired.trigger_type) == (RUN_STATE_COMPLETED, "EVAL")
        assert await services.firings(unwanted) == []
