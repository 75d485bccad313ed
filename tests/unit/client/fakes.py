"""Servers that answer as a test wants, so that what the client makes of the answers is seen alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.status import code_of, to_status
from wakepoint.runner.v1 import runner_pb2, runner_service_pb2, runner_service_pb2_grpc
from wakepoint.trigger.v1 import trigger_pb2, trigger_service_pb2, trigger_service_pb2_grpc


class Reports(trigger_service_pb2_grpc.TriggerServiceServicer):
    """A trigger service that takes job events, or fails with the errors that were put into `failures` first."""

    def __init__(self) -> None:
        self.address = ""
        self.failures: list[WakepointError] = []
        self.received: list[trigger_pb2.JobEvent] = []
        self.metadata: dict[str, Any] = {}

    def ReportJobEvent(self, request: Any, context: Any) -> trigger_service_pb2.ReportJobEventResponse:  # noqa: N802
        self.metadata = dict(context.invocation_metadata())
        if self.failures:
            refuse(context, self.failures.pop(0))
        self.received.append(request.event)
        return trigger_service_pb2.ReportJobEventResponse(event_id=request.event.event_id)


def refuse(context: Any, error: WakepointError) -> None:
    details = (("grpc-status-details-bin", to_status(error).SerializeToString()),)
    context.set_trailing_metadata(details)
    context.abort(code_of(error), error.message)


class Services(trigger_service_pb2_grpc.TriggerServiceServicer, runner_service_pb2_grpc.RunnerServiceServicer):
    """Both services for asyncio: what they received, and what they are to answer."""

    def __init__(self) -> None:
        self.address = ""
        self.silent = False
        self.requests: list[Any] = []
        self.failures: list[WakepointError] = []
        self.log = [runner_pb2.RunEvent(run_id="r", seq=seq, event_type=f"E{seq}") for seq in range(1, 8)]
        self.entries_per_stream = 100

    async def _take(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        if self.silent:
            await asyncio.Event().wait()
        if self.failures:
            error = self.failures.pop(0)
            details = (("grpc-status-details-bin", to_status(error).SerializeToString()),)
            await context.abort(code_of(error), error.message, trailing_metadata=details)

    async def ListTriggerBlueprints(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._take(request, context)
        names = ("TRAIN", "EVAL", "FINETUNE")
        blueprints = [
            trigger_pb2.TriggerBlueprint(trigger_type=name, default_is_enabled=name == "FINETUNE") for name in names
        ]
        return trigger_service_pb2.ListTriggerBlueprintsResponse(blueprints=blueprints)

    async def CreateWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._take(request, context)
        workflow = trigger_pb2.Workflow(workflow_id="w", name=request.name, trigger_configs=request.trigger_configs)
        return trigger_service_pb2.CreateWorkflowResponse(workflow=workflow, warnings=["it looks odd"])

    async def UpdateTriggerConfigs(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._take(request, context)
        return trigger_pb2.Workflow(workflow_id=request.workflow_id, trigger_configs=request.configs)

    async def ListWorkflows(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._take(request, context)
        page = int(request.page_token or "0")
        workflows = [trigger_pb2.Workflow(workflow_id=f"w{page}{place}") for place in "ab"]
        return trigger_service_pb2.ListWorkflowsResponse(
            workflows=workflows, next_page_token=str(page + 1) if page < 2 else ""
        )

    async def GetRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._take(request, context)
        return runner_pb2.Run(run_id=request.run_id)

    async def WakeUp(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._take(request, context)
        return runner_service_pb2.WakeUpResponse(success=True, disposition=runner_pb2.WAKE_UP_DISPOSITION_DELIVERED)

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[runner_pb2.RunEvent]:  # noqa: N802
        self.requests.append(request)
        left = [entry for entry in self.log if entry.seq > request.after_seq]
        for entry in left[: self.entries_per_stream]:
            yield entry
        if len(left) > self.entries_per_stream:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "going down")
