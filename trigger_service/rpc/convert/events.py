"""Job events, what became of them, and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trigger_service.domain.deliveries import Delivery
from trigger_service.domain.events import JobEvent, job_event
from trigger_service.rpc.convert.firings import firing_to_message
from trigger_service.usecases.report_job_events import Disposition, Outcome, Report
from wakepoint.chassis.errors import InvalidArgument, Violations, WakepointError
from wakepoint.chassis.protojson import (
    check_text,
    duration_to_timedelta,
    python_to_struct,
    struct_to_python,
    timestamp_to_datetime,
)
from wakepoint.chassis.status import to_status
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

_TEXTS = (
    "event_id",
    "source",
    "experiment_id",
    "job_id",
    "job_type",
    "job_name",
    "status",
    "trace_parent",
)
_DISPOSITIONS = {
    Disposition.ACCEPTED: messages.REPORT_DISPOSITION_ACCEPTED,
    Disposition.DUPLICATE: messages.REPORT_DISPOSITION_DUPLICATE,
}


def event_of(message: messages.JobEvent, path: str = "event") -> JobEvent:
    """A job event. InvalidArgument names every faulty field, those that cannot be stored among them."""
    faults = Violations()
    fields: dict[str, Any] = {name: getattr(message, name) for name in _TEXTS}
    fields["cause_run_id"] = message.causation.run_id
    fields["depth"] = message.causation.depth
    fields["attempt"] = message.attempt or 1
    try:
        fields["attributes"] = struct_to_python(message.attributes, f"{path}.attributes")
        if message.HasField("occur_time"):
            fields["occur_time"] = timestamp_to_datetime(message.occur_time, f"{path}.occur_time")
        if message.HasField("heartbeat_timeout"):
            fields["heartbeat_timeout"] = duration_to_timedelta(message.heartbeat_timeout, f"{path}.heartbeat_timeout")
    except InvalidArgument as error:
        faults.extend(error.violations)
    check_text(fields, path, faults)
    try:
        event = job_event(fields, field=path)
    except InvalidArgument as error:
        faults.extend(error.violations)
        raise InvalidArgument.from_violations(faults) from None
    faults.raise_if_any()
    return event


def events_of(given: Sequence[messages.JobEvent]) -> list[JobEvent | WakepointError]:
    """The events of a batch; an error stands in the place of an event that cannot be read."""
    found: list[JobEvent | WakepointError] = []
    for message in given:
        try:
            found.append(event_of(message))
        except InvalidArgument as error:
            found.append(error)
    return found


def merged(given: Sequence[JobEvent | WakepointError], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One outcome per given event: those that could not be read keep their error, the others' come in order."""
    remaining = iter(outcomes)
    return [event if isinstance(event, WakepointError) else next(remaining) for event in given]


def report_to_message(report: Report) -> calls.ReportJobEventResponse:
    """What became of one event."""
    return calls.ReportJobEventResponse(
        disposition=_DISPOSITIONS[report.disposition],
        event_id=report.event_id,
        firings=[firing_to_message(firing) for firing in report.firings],
        firings_purged=report.firings_purged,
    )


def outcome_to_message(outcome: Outcome) -> calls.BatchReportJobEventsResult:
    """What became of one event of a batch."""
    if isinstance(outcome, WakepointError):
        return calls.BatchReportJobEventsResult(error=to_status(outcome))
    return calls.BatchReportJobEventsResult(
        disposition=_DISPOSITIONS[outcome.disposition],
        event_id=outcome.event_id,
        firings=[firing_to_message(firing) for firing in outcome.firings],
        firings_purged=outcome.firings_purged,
    )


def delivery_to_message(delivery: Delivery) -> messages.JobEvent:
    """An accepted event as the runner is told it."""
    message = messages.JobEvent(
        **{name: getattr(delivery, name) for name in _TEXTS},
        attempt=delivery.attempt,
        attributes=python_to_struct(delivery.attributes, "attributes"),
    )
    message.occur_time.FromDatetime(delivery.occur_time)
    if delivery.heartbeat_timeout is not None:
        message.heartbeat_timeout.FromTimedelta(delivery.heartbeat_timeout)
    if delivery.depth or delivery.cause_run_id:
        message.causation.run_id = delivery.cause_run_id
        message.causation.depth = delivery.depth
    return message
