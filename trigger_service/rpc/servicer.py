# ruff: noqa: N802 -- methods are named as in the proto
"""TriggerService: each method translates, calls one verb, and translates back. Errors leave through the interceptor."""

from __future__ import annotations

import grpc

from trigger_service.rpc.convert import changes as convert_changes
from trigger_service.rpc.convert import events as convert_events
from trigger_service.rpc.convert import firings as convert_firings
from trigger_service.rpc.convert import workflows as convert_workflows
from trigger_service.rpc.convert.explaining import decision_to_message
from trigger_service.rpc.convert.text import storable
from trigger_service.rpc.history_methods import HistoryMethods
from trigger_service.rpc.warnings import tell
from trigger_service.usecases.cancel_firing import cancel_firing
from trigger_service.usecases.create_workflow import create_workflow
from trigger_service.usecases.delete_workflow import delete_workflow
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.find_cycle import cycle_warnings
from trigger_service.usecases.get_workflow import get_workflow
from trigger_service.usecases.list_firings import list_firings
from trigger_service.usecases.list_workflows import list_workflows
from trigger_service.usecases.match_job_event import match_job_event
from trigger_service.usecases.pause_triggers import pause_triggers
from trigger_service.usecases.report_job_events import report_job_events
from trigger_service.usecases.report_run_states import report_run_states
from trigger_service.usecases.resume_triggers import resume_triggers
from trigger_service.usecases.retry_firing import retry_firing
from trigger_service.usecases.run_workflow import run_workflow
from trigger_service.usecases.switch_triggers import switch_triggers
from trigger_service.usecases.update_trigger_configs import update_trigger_configs
from trigger_service.usecases.update_workflow import update_workflow
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.protojson import struct_to_python
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.trigger.v1.trigger_service_pb2_grpc import (
    TriggerServiceServicer,
    add_TriggerServiceServicer_to_server,
)

SERVICE_NAME = calls.DESCRIPTOR.services_by_name["TriggerService"].full_name


class Servicer(HistoryMethods, TriggerServiceServicer):
    """The service over gRPC."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    async def ListTriggerBlueprints(
        self, _request: calls.ListTriggerBlueprintsRequest, _context: object
    ) -> calls.ListTriggerBlueprintsResponse:
        blueprints = [convert_workflows.blueprint_to_message(blueprint) for blueprint in self._env.blueprints]
        return calls.ListTriggerBlueprintsResponse(blueprints=blueprints)

    async def CreateWorkflow(
        self, request: calls.CreateWorkflowRequest, _context: object
    ) -> calls.CreateWorkflowResponse:
        workflow, warnings = await create_workflow(self._env, convert_workflows.new_workflow(request))
        return calls.CreateWorkflowResponse(workflow=convert_workflows.workflow_to_message(workflow), warnings=warnings)

    async def GetWorkflow(self, request: calls.GetWorkflowRequest, _context: object) -> messages.Workflow:
        storable(request)
        workflow = await get_workflow(self._env, request.workflow_id, request.experiment_id)
        return convert_workflows.workflow_to_message(workflow)

    async def ListWorkflows(self, request: calls.ListWorkflowsRequest, _context: object) -> calls.ListWorkflowsResponse:
        storable(request)
        found, token = await list_workflows(
            self._env, request.experiment_id, request.trigger_type, request.page_size, request.page_token
        )
        workflows = [convert_workflows.workflow_to_message(workflow) for workflow in found]
        return calls.ListWorkflowsResponse(workflows=workflows, next_page_token=token)

    async def DeleteWorkflow(self, request: calls.DeleteWorkflowRequest, _context: object) -> messages.Workflow:
        storable(request)
        workflow = await delete_workflow(self._env, request.workflow_id, request.experiment_id)
        return convert_workflows.workflow_to_message(workflow)

    async def UpdateWorkflow(self, request: calls.UpdateWorkflowRequest, context: object) -> messages.Workflow:
        workflow, warnings = await update_workflow(self._env, convert_changes.workflow_change(request))
        tell(context, warnings, workflow_id=request.workflow.workflow_id)
        return convert_workflows.workflow_to_message(workflow)

    async def BatchUpdateTriggerConfigs(
        self, request: calls.BatchUpdateTriggerConfigsRequest, _context: object
    ) -> calls.BatchUpdateTriggerConfigsResponse:
        storable(request)
        return await switch_triggers(self._env, convert_changes.switch_of(request), convert_changes.switched_to_message)

    async def UpdateTriggerConfigs(
        self, request: calls.UpdateTriggerConfigsRequest, context: object
    ) -> messages.Workflow:
        storable(request)
        given = convert_workflows.given_configs(request)
        workflow = await update_trigger_configs(
            self._env, request.workflow_id, request.experiment_id, given, request.etag
        )
        tell(context, await cycle_warnings(self._env, workflow.workflow_id), workflow_id=request.workflow_id)
        return convert_workflows.workflow_to_message(workflow)

    async def RunWorkflow(self, request: calls.RunWorkflowRequest, _context: object) -> messages.Firing:
        storable(request)
        run_input = struct_to_python(request.input, "input")
        firing = await run_workflow(
            self._env, request.request_id, request.workflow_id, request.experiment_id, run_input
        )
        return convert_firings.firing_to_message(firing)

    async def ReportJobEvent(
        self, request: calls.ReportJobEventRequest, _context: object
    ) -> calls.ReportJobEventResponse:
        [outcome] = await report_job_events(self._env, [convert_events.event_of(request.event)])
        if isinstance(outcome, WakepointError):
            raise outcome
        return convert_events.report_to_message(outcome)

    async def BatchReportJobEvents(
        self, request: calls.BatchReportJobEventsRequest, _context: object
    ) -> calls.BatchReportJobEventsResponse:
        given = convert_events.events_of(request.events)
        outcomes = await report_job_events(self._env, [e for e in given if not isinstance(e, WakepointError)])
        results = [convert_events.outcome_to_message(item) for item in convert_events.merged(given, outcomes)]
        return calls.BatchReportJobEventsResponse(results=results)

    async def MatchJobEvent(self, request: calls.MatchJobEventRequest, _context: object) -> calls.MatchJobEventResponse:
        event = convert_events.event_of(request.event)
        decisions = await match_job_event(self._env, event, include_rejected=request.include_rejected)
        return calls.MatchJobEventResponse(decisions=map(decision_to_message, decisions))

    async def ListFirings(self, request: calls.ListFiringsRequest, _context: object) -> calls.ListFiringsResponse:
        storable(request)
        found, token = await list_firings(
            self._env,
            request.workflow_id,
            request.experiment_id,
            convert_firings.states_of(request.states),
            request.page_size,
            request.page_token,
        )
        return calls.ListFiringsResponse(firings=map(convert_firings.firing_to_message, found), next_page_token=token)

    async def RetryFiring(self, request: calls.RetryFiringRequest, _context: object) -> messages.Firing:
        storable(request)
        firing = await retry_firing(self._env, request.firing_id, request.experiment_id)
        return convert_firings.firing_to_message(firing)

    async def CancelFiring(self, request: calls.CancelFiringRequest, _context: object) -> messages.Firing:
        storable(request)
        firing = await cancel_firing(self._env, request.firing_id, request.experiment_id)
        return convert_firings.firing_to_message(firing)

    async def PauseTriggers(self, request: calls.PauseTriggersRequest, _context: object) -> calls.PauseTriggersResponse:
        storable(request)
        mode = convert_workflows.while_paused_of(request.while_paused)
        held = await pause_triggers(self._env, request.workflow_id, request.experiment_id, mode)
        return calls.PauseTriggersResponse(will_release=map(convert_firings.firing_to_message, held))

    async def ResumeTriggers(
        self, request: calls.ResumeTriggersRequest, _context: object
    ) -> calls.ResumeTriggersResponse:
        storable(request)
        released = await resume_triggers(self._env, request.workflow_id, request.experiment_id, dry_run=request.dry_run)
        return calls.ResumeTriggersResponse(will_release=map(convert_firings.firing_to_message, released))

    async def ReportRunStates(
        self, request: calls.ReportRunStatesRequest, _context: object
    ) -> calls.ReportRunStatesResponse:
        await report_run_states(self._env, convert_firings.results_of(request))
        return calls.ReportRunStatesResponse()


def register(servicer: Servicer, server: grpc.aio.Server) -> None:
    """Have a server answer the service's methods."""
    add_TriggerServiceServicer_to_server(servicer, server)
