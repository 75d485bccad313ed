"""Job events that trigger_service tells, and what became of them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from runner_service.domain.job_events import JobEvent
from runner_service.rpc.convert.requests import read_or
from runner_service.usecases.deliver_job_events import JobEventResult, Unreadable
from wakepoint.chassis.errors import FieldViolation, InvalidArgument
from wakepoint.chassis.protojson import struct_to_python, timestamp_to_datetime
from wakepoint.chassis.status import to_status
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.trigger.v1 import trigger_pb2 as trigger


def job_events_of(told: Iterable[trigger.JobEvent], received: datetime) -> list[JobEvent | Unreadable]:
    """The events; for one that cannot be read, why. One without a time of its own happened when it was `received`."""
    return [_job_event(message, received) for message in told]


def results_to_message(results: Iterable[JobEventResult]) -> calls.DeliverJobEventsResponse:
    """What became of each event, in order."""
    return calls.DeliverJobEventsResponse(results=map(_result, results))


def _job_event(message: trigger.JobEvent, received: datetime) -> JobEvent | Unreadable:
    faults: list[FieldViolation] = []
    none: dict[str, Any] = {}
    occur_time = received
    if message.HasField("occur_time"):
        occur_time = read_or(received, lambda: timestamp_to_datetime(message.occur_time, "occur_time"), faults)
    event = JobEvent(
        experiment_id=message.experiment_id,
        job_id=message.job_id,
        job_type=message.job_type,
        status=message.status,
        occur_time=occur_time,
        attempt=message.attempt or 1,
        event_id=message.event_id,
        job_name=message.job_name,
        attributes=read_or(none, lambda: struct_to_python(message.attributes, "attributes"), faults),
        trace_parent=message.trace_parent,
    )
    return faults or event


def _result(result: JobEventResult) -> calls.DeliverJobEventsResult:
    if isinstance(result, InvalidArgument):
        return calls.DeliverJobEventsResult(error=to_status(result))
    disposition = trigger.REPORT_DISPOSITION_ACCEPTED if result.new else trigger.REPORT_DISPOSITION_DUPLICATE
    return calls.DeliverJobEventsResult(disposition=disposition, woken_count=result.woken_count)
