# ruff: noqa: N802 -- methods are named as in the proto
"""RunnerService: each method translates, calls one verb, and translates back. Errors leave through the interceptor."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta

import grpc

from runner_service.nodes.registry import NodeRegistry
from runner_service.rpc.convert import (
    events,
    graphs,
    inboxes,
    job_events,
    node_types,
    publications,
    runs,
    starts,
    suspended,
)
from runner_service.rpc.convert.requests import check, check_batch
from runner_service.usecases.cancel_run import cancel_run
from runner_service.usecases.deliver_events import WakeResult
from runner_service.usecases.deliver_job_events import KEPT, deliver_job_events
from runner_service.usecases.get_run import get_run
from runner_service.usecases.get_runner_stats import get_runner_stats
from runner_service.usecases.list_node_types import list_node_types
from runner_service.usecases.list_run_events import list_run_events
from runner_service.usecases.list_runs import list_runs
from runner_service.usecases.list_suspended import list_suspended
from runner_service.usecases.list_trigger_events import list_trigger_events
from runner_service.usecases.publish_event import publish_event
from runner_service.usecases.redeliver_events import redeliver_events
from runner_service.usecases.retry_run import retry_run
from runner_service.usecases.signals import Signals
from runner_service.usecases.start_runs import start_run, start_runs
from runner_service.usecases.update_suspended import update_suspended
from runner_service.usecases.validate_graph import violations_in
from runner_service.usecases.wake_up import wake_up
from runner_service.usecases.watch_run import LogWatch, watch_run
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.runner.v1.runner_service_pb2_grpc import RunnerServiceServicer, add_RunnerServiceServicer_to_server

SERVICE_NAME = calls.DESCRIPTOR.services_by_name["RunnerService"].full_name


class RunnerServicer(RunnerServiceServicer):
    """The service over gRPC.

    `signals` and `log_watch` belong together: the signals' `log_grew` is to call `log_watch.grew`. `webhook_url` gives
    the address at which a node of a run takes requests, `wake_latency` how long runs of this replica lately were ready
    before they went on, by quantile.
    """

    def __init__(
        self,
        *,
        database: Database,
        signals: Signals,
        registry: NodeRegistry,
        log_watch: LogWatch,
        clock: Clock,
        webhook_url: suspended.WebhookUrl,
        job_events_kept: timedelta = KEPT,
        wake_latency: Callable[[], Mapping[float, timedelta]] = dict,
    ) -> None:
        self._database = database
        self._signals = signals
        self._registry = registry
        self._log_watch = log_watch
        self._clock = clock
        self._webhook_url = webhook_url
        self._job_events_kept = job_events_kept
        self._wake_latency = wake_latency

    async def ValidateGraph(self, request: calls.ValidateGraphRequest, _context: object) -> calls.ValidateGraphResponse:
        graph, unreadable = graphs.graph_of(request.graph)
        return node_types.report_to_message([*unreadable, *violations_in(graph, self._registry.facts)])

    async def StartRun(self, request: calls.StartRunRequest, _context: object) -> calls.StartRunResponse:
        wanted = starts.start_request_of(request)
        started = await start_run(self._database, self._signals, self._registry.facts, wanted)
        return starts.started_to_message(started)

    async def BatchStartRuns(
        self, request: calls.BatchStartRunsRequest, _context: object
    ) -> calls.BatchStartRunsResponse:
        check_batch(request.requests, "requests")
        wanted, shared = starts.batch_of(request)
        results = await start_runs(self._database, self._signals, self._registry.facts, wanted, shared)
        return starts.results_to_message(results)

    async def DeliverJobEvents(
        self, request: calls.DeliverJobEventsRequest, _context: object
    ) -> calls.DeliverJobEventsResponse:
        check_batch(request.events, "events")
        told = job_events.job_events_of(request.events, self._clock.now())
        results = await deliver_job_events(self._database, self._signals, told, self._job_events_kept)
        return job_events.results_to_message(results)

    async def GetRun(self, request: calls.GetRunRequest, _context: object) -> messages.Run:
        check(request, "run_id")
        full = await get_run(self._database, request.run_id, request.experiment_id or None)
        return runs.full_run_to_message(full)

    async def CancelRun(self, request: calls.CancelRunRequest, _context: object) -> messages.Run:
        check(request, "run_id")
        experiment_id = request.experiment_id or None
        run = await cancel_run(self._database, self._signals, request.run_id, request.reason, experiment_id)
        return runs.run_to_message(run)

    async def RetryRun(self, request: calls.RetryRunRequest, _context: object) -> messages.Run:
        check(request, "run_id")
        experiment_id = request.experiment_id or None
        run = await retry_run(self._database, self._signals, request.run_id, request.reason, experiment_id)
        return runs.run_to_message(run)

    async def ListRuns(self, request: calls.ListRunsRequest, _context: object) -> calls.ListRunsResponse:
        where = runs.run_filter_of(request)
        found, token = await list_runs(self._database, where, request.page_size, request.page_token)
        return calls.ListRunsResponse(runs=map(runs.run_to_message, found), next_page_token=token)

    async def ListRunEvents(self, request: calls.ListRunEventsRequest, _context: object) -> calls.ListRunEventsResponse:
        query = runs.log_query_of(request)
        lines, token = await list_run_events(self._database, query, request.page_size, request.page_token)
        return runs.lines_to_message(lines, token)

    async def WatchRun(self, request: calls.WatchRunRequest, _context: object) -> AsyncIterator[messages.RunEvent]:
        check(request, "run_id")
        experiment_id = request.experiment_id or None
        lines = watch_run(self._database, self._log_watch, request.run_id, request.after_seq, experiment_id)
        async with aclosing(lines):
            async for line in lines:
                yield runs.line_to_message(line)

    async def WakeUp(self, request: calls.WakeUpRequest, _context: object) -> calls.WakeUpResponse:
        wanted = events.wake_up_of(request, self._clock.now())
        return events.woken_to_message(await wake_up(self._database, self._signals, wanted))

    async def BatchWakeUp(self, request: calls.BatchWakeUpRequest, _context: object) -> calls.BatchWakeUpResponse:
        check_batch(request.wake_ups, "wake_ups")
        outcomes = [await self._wake_up_alone(wanted) for wanted in request.wake_ups]
        return calls.BatchWakeUpResponse(results=map(events.outcome_to_message, outcomes))

    async def PublishEvent(self, request: calls.PublishEventRequest, _context: object) -> calls.PublishEventResponse:
        wanted = publications.publication_of(request, self._clock.now())
        return publications.published_to_message(await publish_event(self._database, self._signals, wanted))

    async def ListSuspended(self, request: calls.ListSuspendedRequest, _context: object) -> calls.ListSuspendedResponse:
        where = suspended.suspended_filter_of(request)
        page = await list_suspended(self._database, where, request.page_size, request.page_token)
        return suspended.page_to_message(page, self._webhook_url)

    async def UpdateSuspended(self, request: calls.UpdateSuspendedRequest, _context: object) -> messages.SuspendedNode:
        node = await update_suspended(self._database, self._signals, inboxes.wait_change_of(request))
        return suspended.suspended_to_message(node, self._webhook_url)

    async def ListTriggerEvents(
        self, request: calls.ListTriggerEventsRequest, _context: object
    ) -> calls.ListTriggerEventsResponse:
        query = inboxes.inbox_query_of(request)
        found, token = await list_trigger_events(self._database, query, request.page_size, request.page_token)
        return inboxes.inbox_to_message(found, token)

    async def RedeliverTriggerEvents(
        self, request: calls.RedeliverTriggerEventsRequest, _context: object
    ) -> calls.RedeliverTriggerEventsResponse:
        found = await redeliver_events(self._database, self._signals, inboxes.redelivery_of(request))
        return calls.RedeliverTriggerEventsResponse(events=map(inboxes.listed_to_message, found))

    async def GetRunnerStats(
        self, request: calls.GetRunnerStatsRequest, _context: object
    ) -> calls.GetRunnerStatsResponse:
        check(request)
        stats = await get_runner_stats(self._database, request.experiment_id or None)
        return inboxes.stats_to_message(stats, self._wake_latency())

    async def ListNodeTypes(
        self, _request: calls.ListNodeTypesRequest, _context: object
    ) -> calls.ListNodeTypesResponse:
        described = list_node_types(self._registry)
        return calls.ListNodeTypesResponse(node_types=map(node_types.node_type_to_message, described))

    async def _wake_up_alone(self, request: calls.WakeUpRequest) -> WakeResult | InvalidArgument:
        """Only a request that is not well formed fails alone; a database that is away fails the call."""
        try:
            return await wake_up(self._database, self._signals, events.wake_up_of(request, self._clock.now()))
        except InvalidArgument as error:
            return error


def register(servicer: RunnerServicer, server: grpc.aio.Server) -> None:
    """Have a server answer the service's methods."""
    add_RunnerServiceServicer_to_server(servicer, server)
