"""The inbox of a node, and changes to its wait."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration

from runner_service.domain.runs import TriggerEventState
from runner_service.rpc.convert.requests import faults_in, read_or
from runner_service.rpc.convert.runs import RUN_STATES, time_or_none
from runner_service.storage.stats import Stats
from runner_service.storage.trigger_events import ListedEvent
from runner_service.usecases.list_trigger_events import InboxQuery
from runner_service.usecases.redeliver_events import RedeliverRequest
from runner_service.usecases.update_suspended import WaitChange
from wakepoint.chassis.errors import FieldViolation, InvalidArgument
from wakepoint.chassis.protojson import (
    datetime_to_timestamp,
    python_to_value,
    struct_to_python,
    timestamp_to_datetime,
)
from wakepoint.event.v1.event_pb2 import Event
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls

EVENT_STATES = {
    TriggerEventState.PENDING: messages.TRIGGER_EVENT_STATE_PENDING,
    TriggerEventState.CONSUMED: messages.TRIGGER_EVENT_STATE_CONSUMED,
    TriggerEventState.EXPIRED: messages.TRIGGER_EVENT_STATE_EXPIRED,
    TriggerEventState.DEAD_LETTERED: messages.TRIGGER_EVENT_STATE_DEAD_LETTERED,
}
_STATE_OF: dict[int, TriggerEventState] = {number: state for state, number in EVENT_STATES.items()}

CHANGEABLE = ("state", "priority", "expire_time")


def inbox_query_of(request: calls.ListTriggerEventsRequest) -> InboxQuery:
    """InvalidArgument naming every faulty field, unknown states among them."""
    faults = faults_in(request, "run_id", "node_id")
    for index, number in enumerate(request.states):
        if number not in _STATE_OF:
            faults.add(f"states[{index}]", f"{number} is not the state of an event")
    faults.raise_if_any()
    states = tuple(dict.fromkeys(_STATE_OF[number] for number in request.states))
    return InboxQuery(request.run_id, request.node_id, request.experiment_id or None, states)


def redelivery_of(request: calls.RedeliverTriggerEventsRequest) -> RedeliverRequest:
    """InvalidArgument naming every faulty field."""
    faults_in(request, "run_id", "node_id").raise_if_any()
    experiment_id = request.experiment_id or None
    events = tuple(request.event_ids)
    return RedeliverRequest(request.run_id, request.node_id, events, request.request_id, experiment_id)


def wait_change_of(request: calls.UpdateSuspendedRequest) -> WaitChange:
    """InvalidArgument naming every faulty field, and a mask that names others."""
    faults = list(faults_in(request, "run_id", "node_id"))
    paths = list(request.update_mask.paths)
    faults += [FieldViolation("update_mask", f"{path} cannot be changed") for path in paths if path not in CHANGEABLE]
    expire_time: datetime | None = None
    if request.HasField("expire_time"):
        expire_time = read_or(None, lambda: timestamp_to_datetime(request.expire_time, "expire_time"), faults)
    none: dict[str, object] = {}
    state = read_or(none, lambda: struct_to_python(request.state, "state"), faults)
    given = {field.name for field, _ in request.ListFields()}
    named = frozenset(paths or given.intersection(CHANGEABLE))
    if not named and not request.expire_now and not faults:
        faults.append(FieldViolation("update_mask", "names nothing, and nothing is set: there is nothing to change"))
    if faults:
        raise InvalidArgument.from_violations(faults)
    return WaitChange(
        run_id=request.run_id,
        node_id=request.node_id,
        experiment_id=request.experiment_id or None,
        named=named,
        state=state,
        priority=request.priority,
        expire_time=expire_time,
        expire_now=request.expire_now,
    )


def listed_to_message(listed: ListedEvent) -> messages.TriggerEvent:
    """An event of an inbox."""
    event = listed.event
    body = {"body_base64": event.body_base64, "content_type": event.content_type} if event.body_base64 else None
    return messages.TriggerEvent(
        event=Event(
            event_id=event.event_id,
            source=event.source,
            type=event.type,
            subject=event.subject,
            occur_time=datetime_to_timestamp(event.occur_time),
            payload=python_to_value(event.payload if body is None else body),
            trace_parent=event.trace_parent,
            extensions=dict(event.extensions),
            priority=event.priority,
            expire_time=time_or_none(event.expire_time),
        ),
        inbox_seq=listed.inbox_seq,
        state=EVENT_STATES[listed.state],
        reason=listed.reason,
    )


def inbox_to_message(found: Iterable[ListedEvent], next_page_token: str) -> calls.ListTriggerEventsResponse:
    """A page of an inbox."""
    return calls.ListTriggerEventsResponse(events=map(listed_to_message, found), next_page_token=next_page_token)


def stats_to_message(stats: Stats, wake_latency: Mapping[float, timedelta]) -> calls.GetRunnerStatsResponse:
    """How the runner fares."""
    age = stats.oldest_ready_age
    return calls.GetRunnerStatsResponse(
        runs=[messages.RunStateCount(state=RUN_STATES[state], count=count) for state, count in stats.runs.items()],
        waits=[messages.NodeTypeCount(node_type=name, count=count) for name, count in stats.waits.items()],
        ready_depth=stats.ready_depth,
        oldest_ready_age=None if age is None else _duration(max(age, timedelta(0))),
        wake_latency=[
            messages.LatencyQuantile(quantile=quantile, latency=_duration(latency))
            for quantile, latency in wake_latency.items()
        ],
    )


def _duration(span: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(span)
    return message
