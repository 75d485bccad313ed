"""The runner, as this service needs it: checking graphs and starting runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import grpc
import structlog
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from trigger_service.domain.deliveries import Delivery, Told
from trigger_service.domain.dispatch import Away, Failed, Lease, Outcome, Refused, Started
from trigger_service.rpc.convert.graphs import graph_from_json
from trigger_service.rpc.parcels import Parcel, delivery_parcels, refusal_of, run_parcels
from trigger_service.usecases.environment import GraphReport
from wakepoint.chassis.errors import FieldViolation, Unavailable
from wakepoint.chassis.status import from_status
from wakepoint.runner.v1 import runner_pb2 as runner
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.runner.v1.runner_service_pb2_grpc import RunnerServiceStub
from wakepoint.trigger.v1.trigger_pb2 import JobEvent

_RETRIED = {"name": [{"service": "wakepoint.runner.v1.RunnerService", "method": "ValidateGraph"}]}
_SERVICE_CONFIG = {
    "methodConfig": [
        _RETRIED
        | {
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            }
        }
    ]
}
_OPTIONS = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A runner that comes back is noticed within a second, not after the minutes that gRPC backs off by itself.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_OF_ITS_OWN = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION})
# The whole call says nothing about its firings: nobody was there, or nobody would talk to us.
_NOBODY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)
_COUNTED = {code.value[0] for code in _OF_ITS_OWN}

_log = structlog.stdlib.get_logger(__name__)


class RunnerClient:
    """A channel to the runner. `deadline` in seconds for one call."""

    def __init__(self, address: str, *, deadline: float = 5.0) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = RunnerServiceStub(self._channel)
        self._deadline = deadline

    async def close(self) -> None:
        """Close the channel; calls under way are cut."""
        await self._channel.close(None)

    async def check_graph(self, graph: dict[str, Any], experiment_id: str) -> GraphReport:
        """What the runner says of a graph. Unavailable when it cannot be asked."""
        request = calls.ValidateGraphRequest(graph=graph_from_json(graph), experiment_id=experiment_id)
        try:
            answer = await self._stub.ValidateGraph(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NOBODY:
                raise Unavailable(
                    "the runner cannot be asked whether the graph is sound", reason="RUNNER_UNAVAILABLE"
                ) from error
            raise _ours(error) from error
        violations = [FieldViolation(item.field, item.description) for item in answer.violations]
        return GraphReport(violations, list(answer.warnings))

    async def start_runs(self, leases: Sequence[Lease], graphs: Mapping[str, dict[str, Any]]) -> list[Outcome]:
        """Hand firings over, in as few messages as fit. One outcome per firing, in order; never raises for the peer."""
        outcomes: list[Outcome] = []
        for parcel in run_parcels(leases, graphs):
            # Once nobody is there, the rest is not tried: each try could take a whole deadline.
            away = bool(outcomes) and isinstance(outcomes[-1], Away)
            outcomes += [Away()] * len(parcel.requests) if away else await self._send(parcel)
        return outcomes

    async def deliver_job_events(self, events: Sequence[Delivery]) -> list[Told]:
        """Tell of accepted events, in as few messages as fit. One outcome each, in order; never raises for the peer."""
        told: list[Told] = []
        for messages in delivery_parcels(events):
            away = bool(told) and told[-1] is Told.AWAY
            told += [Told.AWAY] * len(messages) if away else await self._tell(messages)
        return told

    async def _tell(self, messages: Sequence[JobEvent]) -> list[Told]:
        try:
            answer = await self._stub.DeliverJobEvents(
                calls.DeliverJobEventsRequest(events=messages), timeout=self._deadline
            )
        except grpc.aio.AioRpcError as error:
            if error.code() in _NOBODY:
                return [Told.AWAY] * len(messages)
            if len(messages) > 1:
                middle = len(messages) // 2
                return await self._tell(messages[:middle]) + await self._tell(messages[middle:])
            return [refusal_of(messages[0], error.code().value[0], error.details() or "")]
        if len(answer.results) != len(messages):
            _log.error("the runner answered for another number of job events", sent=len(messages))
            return [Told.FAILED] * len(messages)
        return [
            refusal_of(message, result.error.code, _text(result.error)) if result.HasField("error") else Told.TAKEN
            for message, result in zip(messages, answer.results, strict=True)
        ]

    async def _send(self, parcel: Parcel) -> list[Outcome]:
        request = calls.BatchStartRunsRequest(graphs=parcel.graphs, requests=parcel.requests)
        try:
            answer = await self._stub.BatchStartRuns(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NOBODY:
                return [Away()] * len(parcel.requests)
            if len(parcel.requests) > 1:
                return await self._send_halves(parcel)
            text = f"{error.code().name}: {error.details()}"
            return [Refused(text) if error.code() in _OF_ITS_OWN else Failed(text)]
        if len(answer.results) != len(parcel.requests):
            _log.error("the runner answered for another number of firings", sent=len(parcel.requests))
            return [Failed("the runner's answer does not fit the request")] * len(parcel.requests)
        return [_outcome(result) for result in answer.results]

    async def _send_halves(self, parcel: Parcel) -> list[Outcome]:
        """Refused as a whole: one of them may be the reason, and must not hold back the others."""
        first, second = parcel.halves()
        outcomes = await self._send(first)
        if isinstance(outcomes[-1], Away):
            return outcomes + [Away()] * len(second.requests)
        return outcomes + await self._send(second)


def _outcome(result: calls.BatchStartRunsResult) -> Outcome:
    if not result.HasField("error"):
        return Started(result.run.run_id, result.disposition == runner.START_RUN_DISPOSITION_SKIPPED)
    text = _text(result.error)
    return Refused(text) if result.error.code in _COUNTED else Failed(text)


def _text(status: Status) -> str:
    error = from_status(status)
    return f"{error.reason}: {error.message}" if error is not None and error.reason else status.message


def _ours(error: grpc.aio.AioRpcError) -> Exception:
    # The stubs know only calls of the synchronous API; the error has the same three methods.
    status = rpc_status.from_call(cast(grpc.Call, error))
    return (from_status(status) if status is not None else None) or error
