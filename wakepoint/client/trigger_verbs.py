"""What one asks of trigger_service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from logging import getLogger
from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask

from wakepoint.chassis.ids import new_id
from wakepoint.chassis.protojson import python_to_struct
from wakepoint.client.calls import Caller, walk
from wakepoint.client.values import GraphLike, TriggersLike, graph_of, trigger_configs_of
from wakepoint.trigger.v1 import trigger_service_pb2 as rpc
from wakepoint.trigger.v1.trigger_pb2 import (
    Decision,
    Firing,
    FiringState,
    JobEvent,
    TriggerBlueprint,
    Workflow,
)

if TYPE_CHECKING:
    from wakepoint.trigger.v1.trigger_service_pb2_grpc import TriggerServiceAsyncStub

_log = getLogger("wakepoint.client")


class TriggerVerbs(Caller):
    """Workflows, their triggers, job events and what they fired. All raise WakepointError."""

    triggers: TriggerServiceAsyncStub

    async def list_trigger_blueprints(self) -> list[TriggerBlueprint]:
        """The trigger types on offer, in blueprint order."""
        answer = await self.call(self.triggers.ListTriggerBlueprints, rpc.ListTriggerBlueprintsRequest())
        return list(answer.blueprints)

    async def create_workflow(
        self,
        *,
        experiment_id: str,
        name: str,
        graph: GraphLike,
        triggers: TriggersLike = (),
        request_id: str | None = None,
    ) -> Workflow:
        """Store a workflow, with the triggers named on. The same `request_id` again answers the same workflow.

        InvalidArgument names every fault of graph and triggers; warnings are logged.
        """
        request = rpc.CreateWorkflowRequest(
            request_id=request_id or new_id(),
            experiment_id=experiment_id,
            name=name,
            graph=graph_of(graph),
            trigger_configs=trigger_configs_of(triggers),
        )
        answer = await self.call(self.triggers.CreateWorkflow, request)
        for warning in answer.warnings:
            _log.warning("workflow %s: %s", answer.workflow.workflow_id, warning)
        return answer.workflow

    async def get_workflow(self, workflow_id: str, *, experiment_id: str = "") -> Workflow:
        """One workflow. NotFound: unknown, deleted, or of another experiment."""
        request = rpc.GetWorkflowRequest(workflow_id=workflow_id, experiment_id=experiment_id)
        return await self.call(self.triggers.GetWorkflow, request)

    def list_workflows(self, *, experiment_id: str = "", trigger_type: str = "") -> AsyncIterator[Workflow]:
        """All workflows, oldest first; of one experiment, or only those with one trigger on."""

        async def page(token: str) -> rpc.ListWorkflowsResponse:
            request = rpc.ListWorkflowsRequest(experiment_id=experiment_id, trigger_type=trigger_type, page_token=token)
            return await self.call(self.triggers.ListWorkflows, request)

        return walk(page, lambda answer: answer.workflows)

    async def delete_workflow(self, workflow_id: str, *, experiment_id: str = "") -> Workflow:
        """Delete softly; answers the workflow as it was. NotFound also where an earlier attempt has deleted it."""
        request = rpc.DeleteWorkflowRequest(workflow_id=workflow_id, experiment_id=experiment_id)
        return await self.call(self.triggers.DeleteWorkflow, request)

    async def update_trigger_configs(
        self, workflow_id: str, triggers: TriggersLike, *, etag: str = "", experiment_id: str = ""
    ) -> Workflow:
        """Replace all triggers; those not named get their default. Aborted when `etag` is given and stale."""
        request = rpc.UpdateTriggerConfigsRequest(
            workflow_id=workflow_id,
            configs=trigger_configs_of(triggers, await self.list_trigger_blueprints()),
            etag=etag,
            experiment_id=experiment_id,
        )
        return await self.call(self.triggers.UpdateTriggerConfigs, request)

    async def update_workflow(
        self, workflow: Workflow, *fields: str, etag: str | None = None, experiment_id: str = ""
    ) -> Workflow:
        """Change `fields` of a workflow to what they are in `workflow`: name, graph, trigger_configs, concurrency,
        adopt_newest; without any, those that are set in it.

        Guarded by the etag that `workflow` carries, or by the one given; "" is no guard. Aborted when it is stale;
        InvalidArgument names every fault, the graph's included.
        """
        request = rpc.UpdateWorkflowRequest(
            workflow=workflow, update_mask=FieldMask(paths=fields), experiment_id=experiment_id
        )
        if etag is not None:
            # The request holds a copy: the caller's message stays as it is.
            request.workflow.etag = etag
        return await self.call(self.triggers.UpdateWorkflow, request)

    async def switch_trigger(
        self, trigger_type: str, is_enabled: bool, *, experiment_id: str, workflow_ids: Iterable[str] = ()
    ) -> list[Workflow]:
        """Turn one trigger on or off for these workflows, or all of an experiment; for each of them, or for none."""
        request = rpc.BatchUpdateTriggerConfigsRequest(
            experiment_id=experiment_id, workflow_ids=workflow_ids, trigger_type=trigger_type, is_enabled=is_enabled
        )
        return list((await self.call(self.triggers.BatchUpdateTriggerConfigs, request)).workflows)

    async def run_workflow(
        self, workflow_id: str, run_input: Mapping[str, object] | None = None, *, request_id: str | None = None
    ) -> Firing:
        """Fire a workflow by hand. The same `request_id` again answers the same firing."""
        request = rpc.RunWorkflowRequest(
            request_id=request_id or new_id(),
            workflow_id=workflow_id,
            input=python_to_struct(run_input or {}, "input"),
        )
        return await self.call(self.triggers.RunWorkflow, request)

    async def report_job_event(
        self,
        *,
        experiment_id: str,
        job_id: str,
        status: str,
        job_type: str = "",
        job_name: str = "",
        attributes: Mapping[str, object] | None = None,
        attempt: int = 1,
        event_id: str | None = None,
    ) -> rpc.ReportJobEventResponse:
        """Say that a job reached a status; answers what that fired. Safe to repeat: a job reaches a status once.

        `job_type` may be left out once the job is known. For the rarer fields see `report`.
        """
        event = JobEvent(
            event_id=event_id or new_id(),
            experiment_id=experiment_id,
            job_id=job_id,
            attempt=attempt,
            job_type=job_type,
            job_name=job_name,
            status=status,
            attributes=python_to_struct(attributes or {}, "event.attributes"),
        )
        return await self.report(event)

    async def report(self, event: JobEvent) -> rpc.ReportJobEventResponse:
        """Report a job event that stands as a message already."""
        return await self.call(self.triggers.ReportJobEvent, rpc.ReportJobEventRequest(event=event))

    async def match_job_event(self, event: JobEvent, *, include_rejected: bool = False) -> list[Decision]:
        """What an event would fire now; nothing is stored."""
        request = rpc.MatchJobEventRequest(event=event, include_rejected=include_rejected)
        return list((await self.call(self.triggers.MatchJobEvent, request)).decisions)

    def list_firings(
        self, *, workflow_id: str = "", states: Iterable[FiringState.ValueType] = (), experiment_id: str = ""
    ) -> AsyncIterator[Firing]:
        """Firings, newest first."""
        wanted = list(states)

        async def page(token: str) -> rpc.ListFiringsResponse:
            request = rpc.ListFiringsRequest(
                workflow_id=workflow_id, states=wanted, experiment_id=experiment_id, page_token=token
            )
            return await self.call(self.triggers.ListFirings, request)

        return walk(page, lambda answer: answer.firings)
