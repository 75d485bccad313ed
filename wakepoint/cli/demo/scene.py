"""Where the story is set: a stack, a client of it, and the ways to look at what happens there."""

from __future__ import annotations

from typing import Any

from google.protobuf.struct_pb2 import Struct

from wakepoint.chassis.protojson import struct_to_python, timestamp_to_datetime
from wakepoint.cli.demo.example import run_script
from wakepoint.cli.demo.looking import until
from wakepoint.cli.demo.telling import PromiseBroken
from wakepoint.cli.stack import Stack
from wakepoint.client import Client
from wakepoint.runner.v1.runner_pb2 import Run, RunEvent, SuspendedNode
from wakepoint.trigger.v1.trigger_pb2 import FIRING_STATE_DISPATCHED, Firing
from wakepoint.workflow.v1.execution_pb2 import RUN_STATE_SUSPENDED, RunState


class Scene:
    """Looks at the services from outside, as any client can. `models` is where this story's models are put."""

    def __init__(self, stack: Stack, client: Client, experiment_id: str) -> None:
        self.stack, self.client, self.experiment_id = stack, client, experiment_id
        self.models = stack.data_dir / "models" / experiment_id
        self._environment = {
            "WAKEPOINT_TRIGGER_ADDRESS": stack.addresses["trigger"].grpc,
            "WAKEPOINT_RUNNER_ADDRESS": stack.addresses["runner"].grpc,
        }

    async def script(self, name: str, *arguments: str) -> list[str]:
        """The lines that a script of the example printed, run against this stack."""
        return await run_script(name, *arguments, environment=self._environment)

    async def dispatched(self, workflow_id: str) -> Firing:
        """The workflow's first firing, once the runner has it."""

        async def look() -> Firing | None:
            found = self.client.list_firings(workflow_id=workflow_id, states=[FIRING_STATE_DISPATCHED])
            return next(iter([firing async for firing in found]), None)

        return await until("the workflow is fired", look)

    async def suspended_approval(self, workflow_id: str) -> SuspendedNode:
        """The row of the node that waits for a person, once it has left the runner's memory."""

        async def look() -> SuspendedNode | None:
            found = self.client.list_suspended(workflow_id=workflow_id, node_type="Approval")
            return next(iter([node async for node in found]), None)

        return await until("the approval suspends", look)

    async def entry(self, run_id: str, event_type: str, node_id: str) -> RunEvent:
        """The first such entry of the run's log, now or as soon as it is written."""
        async for entry in self.client.watch_run(run_id):
            if is_about(entry, event_type, node_id):
                return entry
        raise PromiseBroken(f"the run has ended without {event_type} of {node_id}")

    async def run_in(self, run_id: str, state: RunState.ValueType) -> Run | None:
        """The run if it is in that state."""
        run = await self.client.get_run(run_id)
        return run if run.state == state else None

    async def is_awake(self, run_id: str) -> bool:
        """Whether the run no longer waits."""
        return await self.run_in(run_id, RUN_STATE_SUSPENDED) is None

    async def is_dead(self) -> bool:
        """Whether neither service has a process."""
        return not any(self.stack.pid(service) for service in self.stack.addresses)

    def evaluations(self) -> list[str]:
        """What the evaluating processes appended to their file: a line each."""
        return (self.models / "evaluations.jsonl").read_text().splitlines()


def is_about(entry: RunEvent, event_type: str, node_id: str) -> bool:
    """Whether a log entry is of this type and node."""
    return (entry.event_type, entry.node_id) == (event_type, node_id)


def plain(struct: Struct) -> dict[str, Any]:
    """A free-form part of an answer, to be read by names that the example gives."""
    return struct_to_python(struct)


def output_of(entry: RunEvent) -> dict[str, Any]:
    """The output of a NodeCompleted whose node has one, an object."""
    found: dict[str, Any] = plain(entry.payload)["outputs"]["output"]
    return found


def time_between(firing: Firing) -> str:
    """From the match to the runner's taking it."""
    span = timestamp_to_datetime(firing.dispatch_time) - timestamp_to_datetime(firing.create_time)
    return f"handed to the runner after {span.total_seconds() * 1000:.0f} ms"
