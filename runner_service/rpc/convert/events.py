"""Events for nodes, and what became of wake-ups."""

from datetime import datetime
from typing import Literal

from google.protobuf.timestamp_pb2 import Timestamp

from runner_service.domain.runs import Disposition
from runner_service.domain.trigger_events import TriggerEvent
from runner_service.rpc.convert.requests import read_or
from runner_service.usecases.deliver_events import WakeResult
from runner_service.usecases.wake_up import WakeUpRequest
from wakepoint.chassis.errors import FieldViolation, WakepointError
from wakepoint.chassis.ids import new_id
from wakepoint.chassis.protojson import timestamp_to_datetime, value_to_python
from wakepoint.chassis.status import to_status
from wakepoint.event.v1.event_pb2 import Event
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls

DISPOSITIONS = {
    Disposition.DELIVERED: messages.WAKE_UP_DISPOSITION_DELIVERED,
    Disposition.BUFFERED: messages.WAKE_UP_DISPOSITION_BUFFERED,
    Disposition.DUPLICATE: messages.WAKE_UP_DISPOSITION_DUPLICATE,
    Disposition.EXPIRED: messages.WAKE_UP_DISPOSITION_EXPIRED,
    Disposition.FINISHED: messages.WAKE_UP_DISPOSITION_FINISHED,
    Disposition.NO_SUCH_RUN: messages.WAKE_UP_DISPOSITION_NO_SUCH_RUN,
    Disposition.NO_SUCH_NODE: messages.WAKE_UP_DISPOSITION_NO_SUCH_NODE,
    Disposition.AMBIGUOUS: messages.WAKE_UP_DISPOSITION_AMBIGUOUS,
    Disposition.INBOX_FULL: messages.WAKE_UP_DISPOSITION_INBOX_FULL,
    Disposition.TOO_LARGE: messages.WAKE_UP_DISPOSITION_TOO_LARGE,
}


def wake_up_of(message: calls.WakeUpRequest, received: datetime) -> WakeUpRequest:
    """A wake-up; an event that says nothing of its time happened when it was `received`."""
    event, faults = event_of(message.event, received)
    return WakeUpRequest(
        node_id=message.node_id,
        event=event,
        run_id=message.run_id,
        workflow_id=message.workflow_id,
        experiment_id=message.experiment_id or None,
        faults=tuple(faults),
    )


def event_of(message: Event, received: datetime) -> tuple[TriggerEvent, list[FieldViolation]]:
    """The event, and what in it cannot be read; defaults stand in for that, so that the rest can be checked."""
    faults: list[FieldViolation] = []

    def time(name: Literal["occur_time", "expire_time"]) -> datetime | None:
        timestamp: Timestamp = getattr(message, name)
        given = message.HasField(name)
        return read_or(None, lambda: timestamp_to_datetime(timestamp, f"event.{name}"), faults) if given else None

    event = TriggerEvent(
        event_id=message.event_id or new_id(),
        source=message.source,
        type=message.type,
        payload=read_or(None, lambda: value_to_python(message.payload, "event.payload"), faults),
        occur_time=time("occur_time") or received,
        subject=message.subject,
        trace_parent=message.trace_parent,
        extensions=dict(message.extensions),
        priority=message.priority,
        expire_time=time("expire_time"),
    )
    return event, faults


def woken_to_message(result: WakeResult) -> calls.WakeUpResponse:
    """What became of one wake-up."""
    return calls.WakeUpResponse(
        success=result.disposition.success,
        message=result.message,
        disposition=DISPOSITIONS[result.disposition],
        run_id=result.run_id,
        inbox_seq=result.inbox_seq,
    )


def outcome_to_message(outcome: WakeResult | WakepointError) -> calls.BatchWakeUpResult:
    """What became of one wake-up of a batch."""
    if isinstance(outcome, WakepointError):
        return calls.BatchWakeUpResult(error=to_status(outcome))
    return calls.BatchWakeUpResult(
        success=outcome.disposition.success,
        message=outcome.message,
        disposition=DISPOSITIONS[outcome.disposition],
        run_id=outcome.run_id,
        inbox_seq=outcome.inbox_seq,
    )
