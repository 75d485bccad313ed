# ruff: noqa: N802 -- methods are named as in the proto
"""TriggerService's methods that look back: explaining, backtesting, counting, replaying."""

from __future__ import annotations

from trigger_service.rpc.convert import explaining as convert
from trigger_service.rpc.convert.text import storable
from trigger_service.usecases.backtest_triggers import backtest_triggers
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.explain_event import explain_event
from trigger_service.usecases.explain_workflow import explain_workflow
from trigger_service.usecases.get_trigger_stats import get_trigger_stats
from trigger_service.usecases.replay_events import replay_events
from wakepoint.trigger.v1 import trigger_service_pb2 as calls


class HistoryMethods:
    """A part of the servicer."""

    _env: Environment

    async def ExplainEvent(self, request: calls.ExplainEventRequest, _context: object) -> calls.ExplainEventResponse:
        storable(request)
        found, token = await explain_event(
            self._env, request.experiment_id, request.event_id, request.page_size, request.page_token
        )
        decisions = map(convert.decision_to_message, found)
        return calls.ExplainEventResponse(decisions=decisions, next_page_token=token)

    async def ExplainWorkflow(
        self, request: calls.ExplainWorkflowRequest, _context: object
    ) -> calls.ExplainWorkflowResponse:
        storable(request)
        found, token = await explain_workflow(
            self._env, request.workflow_id, request.experiment_id, request.page_size, request.page_token
        )
        decisions = map(convert.decision_to_message, found)
        return calls.ExplainWorkflowResponse(decisions=decisions, next_page_token=token)

    async def BacktestTriggers(
        self, request: calls.BacktestTriggersRequest, _context: object
    ) -> calls.BacktestTriggersResponse:
        storable(request)
        return convert.backtest_to_message(await backtest_triggers(self._env, convert.trial_of(request)))

    async def GetTriggerStats(
        self, request: calls.GetTriggerStatsRequest, _context: object
    ) -> calls.GetTriggerStatsResponse:
        storable(request)
        window, bucket = convert.spans_of(request)
        found = await get_trigger_stats(self._env, request.workflow_id, request.experiment_id, window, bucket)
        return convert.stats_to_message(found)

    async def ReplayEvents(self, request: calls.ReplayEventsRequest, _context: object) -> calls.ReplayEventsResponse:
        storable(request)
        fired = await replay_events(self._env, convert.replay_of(request))
        return convert.replay_to_message(fired, dry_run=request.dry_run)
