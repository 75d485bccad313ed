"""What one asks of runner_service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from wakepoint.chassis.ids import new_id
from wakepoint.chassis.protojson import datetime_to_timestamp, python_to_struct, python_to_value
from wakepoint.client.calls import Caller, walk
from wakepoint.client.values import GraphLike, graph_of
from wakepoint.client.watching import follow
from wakepoint.event.v1.event_pb2 import Event
from wakepoint.runner.v1 import runner_service_pb2 as rpc
from wakepoint.runner.v1.runner_pb2 import NodeType, Run, RunEvent, SuspendedNode
from wakepoint.workflow.v1.execution_pb2 import RunState

if TYPE_CHECKING:
    from wakepoint.runner.v1.runner_service_pb2_grpc import RunnerServiceAsyncStub


class RunnerVerbs(Caller):
    """Runs, their logs, and the nodes that wait. All raise WakepointError."""

    runner: RunnerServiceAsyncStub

    async def validate_graph(self, graph: GraphLike) -> rpc.ValidateGraphResponse:
        """Everything that is wrong with a graph; nothing is stored."""
        return await self.call(self.runner.ValidateGraph, rpc.ValidateGraphRequest(graph=graph_of(graph)))

    async def start_run(
        self,
        *,
        workflow_id: str,
        experiment_id: str,
        graph: GraphLike,
        run_input: Mapping[str, object] | None = None,
        deadline: datetime | None = None,
        request_id: str | None = None,
    ) -> rpc.StartRunResponse:
        """Start a run of a graph without a trigger. The same `request_id` again answers the same run."""
        request = rpc.StartRunRequest(
            request_id=request_id or new_id(),
            workflow_id=workflow_id,
            experiment_id=experiment_id,
            graph=graph_of(graph),
            input=python_to_struct(run_input or {}, "input"),
            deadline=datetime_to_timestamp(deadline) if deadline else None,
        )
        return await self.call(self.runner.StartRun, request)

    async def get_run(self, run_id: str, *, experiment_id: str = "") -> Run:
        """One run, with the state of each node. NotFound: unknown, or of another experiment."""
        return await self.call(self.runner.GetRun, rpc.GetRunRequest(run_id=run_id, experiment_id=experiment_id))

    async def cancel_run(self, run_id: str, reason: str = "") -> Run:
        """End a run. FailedPrecondition: it has COMPLETED or FAILED."""
        return await self.call(self.runner.CancelRun, rpc.CancelRunRequest(run_id=run_id, reason=reason))

    def list_runs(
        self, *, workflow_id: str = "", states: Iterable[RunState.ValueType] = (), experiment_id: str = ""
    ) -> AsyncIterator[Run]:
        """Runs, newest first."""
        wanted = list(states)

        async def page(token: str) -> rpc.ListRunsResponse:
            request = rpc.ListRunsRequest(
                workflow_id=workflow_id, states=wanted, experiment_id=experiment_id, page_token=token
            )
            return await self.call(self.runner.ListRuns, request)

        return walk(page, lambda answer: answer.runs)

    def list_run_events(
        self, run_id: str, *, after_seq: int = 0, event_types: Iterable[str] = (), node_id: str = ""
    ) -> AsyncIterator[RunEvent]:
        """A run's log as it stands, oldest entry first."""
        wanted = list(event_types)

        async def page(token: str) -> rpc.ListRunEventsResponse:
            request = rpc.ListRunEventsRequest(
                run_id=run_id, after_seq=after_seq, event_types=wanted, node_id=node_id, page_token=token
            )
            return await self.call(self.runner.ListRunEvents, request)

        return walk(page, lambda answer: answer.events)

    def watch_run(self, run_id: str, *, after_seq: int = 0, patience: float = 60.0) -> AsyncIterator[RunEvent]:
        """Follow a run's log, without gaps, until the run has ended.

        A stream that breaks goes on where it stood; Unavailable is raised after `patience` seconds without a runner.
        """

        def stream(after: int) -> AsyncIterator[RunEvent]:
            request = rpc.WatchRunRequest(run_id=run_id, after_seq=after)
            return self.stream(self.runner.WatchRun, request)

        return follow(stream, after_seq, patience)

    async def wake_up(
        self,
        *,
        node_id: str,
        run_id: str = "",
        workflow_id: str = "",
        payload: object = None,
        event_type: str = "",
        event_id: str | None = None,
        source: str = "",
    ) -> rpc.WakeUpResponse:
        """Address an event to a node of a run, or of a workflow's one unfinished run.

        What became of it is the answer's `disposition`, never an exception. Give an `event_id` to make the call safe to
        repeat; what this client repeats by itself is safe without.
        """
        event = Event(
            event_id=event_id or new_id(),
            source=source,
            type=event_type,
            payload=python_to_value(payload, "event.payload"),
        )
        request = rpc.WakeUpRequest(run_id=run_id, workflow_id=workflow_id, node_id=node_id, event=event)
        return await self.call(self.runner.WakeUp, request)

    def list_suspended(
        self,
        *,
        workflow_id: str = "",
        node_type: str = "",
        include_waiting: bool = False,
        experiment_id: str = "",
    ) -> AsyncIterator[SuspendedNode]:
        """The nodes that wait, longest first; with `include_waiting` also those that still wait in memory."""

        async def page(token: str) -> rpc.ListSuspendedResponse:
            request = rpc.ListSuspendedRequest(
                workflow_id=workflow_id,
                node_type=node_type,
                include_waiting=include_waiting,
                experiment_id=experiment_id,
                page_token=token,
            )
            return await self.call(self.runner.ListSuspended, request)

        return walk(page, lambda answer: answer.suspended)

    async def list_node_types(self) -> list[NodeType]:
        """The node types that graphs may use, by name."""
        return list((await self.call(self.runner.ListNodeTypes, rpc.ListNodeTypesRequest())).node_types)
