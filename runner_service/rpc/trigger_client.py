"""trigger_service, as the runner's outbox needs it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from wakepoint.chassis.errors import InvalidArgument, Unavailable, WakepointError
from wakepoint.chassis.protojson import datetime_to_timestamp, python_to_struct
from wakepoint.chassis.status import from_status
from wakepoint.trigger.v1 import trigger_pb2 as trigger
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.trigger.v1.trigger_service_pb2_grpc import TriggerServiceStub
from wakepoint.workflow.v1.execution_pb2 import RunState

MAX_MESSAGE_BYTES: Final = 2 * 2**20
MAX_ITEMS: Final = 500

Answer = WakepointError | None
M = TypeVar("M", bound=Message)

_OPTIONS = (
    # A peer that comes back is noticed within a second, not after the minutes that gRPC backs off by itself.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
# Whoever is asked next would say the same: nobody is there, or nobody who can.
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


class TriggerClient:
    """A channel to trigger_service. `deadline` in seconds for one call.

    Reports are sent in as few messages as they fit into; one refused as a whole is halved until what is to blame is
    found. One answer an item, in their order: None, or why it was not taken; Unavailable when nobody could be told.
    """

    def __init__(self, address: str, *, deadline: float = 10.0) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = TriggerServiceStub(self._channel)
        self._deadline = deadline

    async def close(self) -> None:
        """Close the channel; calls under way are cut."""
        await self._channel.close(None)

    async def report_job_events(self, events: Sequence[Mapping[str, Any]]) -> list[WakepointError | None]:
        """Job events as `job_event` makes them, with their `time`."""
        return await _Report(_job_event, self._send_job_events).deliver(events)

    async def report_run_states(self, states: Sequence[Mapping[str, Any]]) -> list[WakepointError | None]:
        """Final states of fired runs: {firing_id, run_id, state, time} and, where known, {attempt, error}."""
        return await _Report(_run_result, self._send_run_states).deliver(states)

    async def _send_job_events(self, events: Sequence[trigger.JobEvent]) -> list[Answer]:
        request = calls.BatchReportJobEventsRequest(events=events)
        answer = await self._stub.BatchReportJobEvents(request, timeout=self._deadline)
        if len(answer.results) != len(events):
            return [WakepointError("trigger_service answered for another number of events")] * len(events)
        return [_error_of(result.error) if result.HasField("error") else None for result in answer.results]

    async def _send_run_states(self, results: Sequence[calls.RunResult]) -> list[Answer]:
        await self._stub.ReportRunStates(calls.ReportRunStatesRequest(results=results), timeout=self._deadline)
        return [None] * len(results)


class _Report(Generic[M]):
    """Sends items of one kind."""

    def __init__(
        self, convert: Callable[[Mapping[str, Any]], M], send: Callable[[Sequence[M]], Awaitable[list[Answer]]]
    ) -> None:
        self._convert = convert
        self._send = send

    async def deliver(self, items: Sequence[Mapping[str, Any]]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        messages: dict[int, M] = {}
        for place, item in enumerate(items):
            try:
                messages[place] = self._convert(item)
            except WakepointError as error:
                answers[place] = error
            except (KeyError, TypeError, ValueError) as error:
                # Written by another version of this service, perhaps; it must not hold back the others.
                answers[place] = InvalidArgument(f"cannot be told: {error!r}", reason="UNKNOWN_SHAPE")
        away: Unavailable | None = None
        for places in _parcels(messages):
            found = [away] * len(places) if away else await self._send_parcel([messages[place] for place in places])
            answers.update(zip(places, found, strict=True))
            away = away or next((answer for answer in found if isinstance(answer, Unavailable)), None)
        return [answers[place] for place in range(len(items))]

    async def _send_parcel(self, messages: Sequence[M]) -> list[Answer]:
        try:
            return await self._send(messages)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NOBODY or _is_overload(error):
                text = f"trigger_service cannot be told: {error.code().name}"
                return [Unavailable(text, reason="TRIGGER_SERVICE_UNAVAILABLE")] * len(messages)
            if len(messages) == 1:
                return [_refusal(error)]
        middle = len(messages) // 2
        first = await self._send_parcel(messages[:middle])
        if isinstance(first[-1], Unavailable):
            return first + [first[-1]] * (len(messages) - middle)
        return first + await self._send_parcel(messages[middle:])


def _parcels(messages: Mapping[int, Message]) -> Iterator[list[int]]:
    """The places of what goes into one message each; anything fits into an empty one."""
    parcel: list[int] = []
    size = 0
    for place, message in messages.items():
        added = message.ByteSize() + 16
        if parcel and (size + added > MAX_MESSAGE_BYTES or len(parcel) >= MAX_ITEMS):
            yield parcel
            parcel, size = [], 0
        parcel.append(place)
        size += added
    if parcel:
        yield parcel


def _job_event(event: Mapping[str, Any]) -> trigger.JobEvent:
    return trigger.JobEvent(
        event_id=event["event_id"],
        source=event["source"],
        experiment_id=event["experiment_id"],
        job_id=event["job_id"],
        attempt=event.get("attempt", 1),
        job_type=event["job_type"],
        job_name=event["job_name"],
        status=event["status"],
        attributes=python_to_struct(event["attributes"], "attributes"),
        occur_time=datetime_to_timestamp(event["time"]),
        causation=trigger.Causation(**event["causation"]),
    )


def _run_result(state: Mapping[str, Any]) -> calls.RunResult:
    return calls.RunResult(
        firing_id=state["firing_id"],
        run_id=state["run_id"],
        state=RunState.Value(f"RUN_STATE_{state['state']}"),
        end_time=datetime_to_timestamp(state["time"]),
        error=state.get("error", ""),
        attempt=state.get("attempt", 0),
    )


def _is_overload(error: grpc.aio.AioRpcError) -> bool:
    """The peer's own word. Without details it is gRPC's, for a message that is too large: smaller ones may pass."""
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and _status_of(error) is not None


def _refusal(error: grpc.aio.AioRpcError) -> WakepointError:
    bare = Status(code=error.code().value[0], message=error.details() or error.code().name)
    return _error_of(_status_of(error) or bare)


def _status_of(error: grpc.aio.AioRpcError) -> Status | None:
    # The stubs know only calls of the synchronous API; the error has the same three methods.
    return cast("Status | None", rpc_status.from_call(cast(grpc.Call, error)))


def _error_of(status: Status) -> WakepointError:
    """Never None: what is outside of the taxonomy, such as INTERNAL, was not taken either."""
    return from_status(status) or WakepointError(status.message or "trigger_service failed", reason="PEER_FAILED")
