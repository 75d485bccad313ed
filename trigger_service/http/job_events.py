"""What a CloudEvent says of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wakepoint.chassis.cloud_events import ReceivedEvent
from wakepoint.chassis.errors import Violations
from wakepoint.chassis.transcoder import by_proto_names, read_json, renamed_faults
from wakepoint.trigger.v1.trigger_pb2 import JobEvent

TYPE = "wakepoint.job"
"""The data of such an event is a JobEvent; with a status behind the type (`wakepoint.job.complete`), its attributes."""

_ATTRIBUTES: Mapping[str, str] = {
    "event_id": "id",
    "source": "source",
    "job_id": "subject",
    "occur_time": "time",
}
_EXTENSIONS: Mapping[str, str] = {
    "experiment_id": "experimentid",
    "job_type": "jobtype",
    "job_name": "jobname",
    "attempt": "jobattempt",
    "heartbeat_timeout": "heartbeattimeout",
    "trace_parent": "traceparent",
}
_CAUSES: Mapping[str, str] = {"run_id": "causerunid", "depth": "causedepth"}


def job_event_of(event: ReceivedEvent) -> JobEvent:
    """The job event. InvalidArgument names every attribute of the CloudEvent that is wrong."""
    faults, message = Violations(), JobEvent()
    said = _said_by_attributes(event)
    if event.type == TYPE:
        data = by_proto_names(JobEvent.DESCRIPTOR, event.data, "data", faults)
        if not isinstance(data, dict):
            faults.add("data", "must be a job event in JSON")
            data = {}
        for field in said.keys() & data.keys():
            if data[field] != said[field]:
                faults.add(f"data.{field}", "must be left out or be as in the event's attribute")
        said = {**data, **said}
    else:
        said["status"] = _status_of(event, faults)
        if isinstance(event.data, bytes):
            faults.add("datacontenttype", "must be JSON")
        elif event.data is not None:
            said["attributes"] = event.data
    unread = Violations()
    read_json(message, said, "event", unread)
    faults.extend(renamed_faults(unread, names_in(event)))
    faults.raise_if_any(reason="MALFORMED_CLOUD_EVENT")
    return message


def names_in(event: ReceivedEvent) -> Mapping[str, str]:
    """Where in the CloudEvent each field of the job event stands, for telling its sender of faults."""
    if event.type == TYPE:
        told = _said_by_attributes(event)
        both = {**_ATTRIBUTES, **_EXTENSIONS}
        return {**{f"event.{field}": both[field] for field in told if field in both}, "event": "data"}
    return {
        **{f"event.{field}": name for field, name in (*_ATTRIBUTES.items(), *_EXTENSIONS.items())},
        **{f"event.causation.{field}": name for field, name in _CAUSES.items()},
        "event.depth": _CAUSES["depth"],
        "event.cause_run_id": _CAUSES["run_id"],
        "event.status": "jobstatus" if "jobstatus" in event.extensions else "type",
        "event.attributes": "data",
    }


def _said_by_attributes(event: ReceivedEvent) -> dict[str, Any]:
    said: dict[str, Any] = {"event_id": event.id, "source": event.source}
    if event.subject:
        said["job_id"] = event.subject
    if event.time is not None:
        said["occur_time"] = event.time.isoformat()
    said |= {field: event.extensions[name] for field, name in _EXTENSIONS.items() if name in event.extensions}
    cause = {field: event.extensions[name] for field, name in _CAUSES.items() if name in event.extensions}
    return said | ({"causation": cause} if cause else {})


def _status_of(event: ReceivedEvent, faults: Violations) -> str:
    by_type = event.type.removeprefix(f"{TYPE}.").upper() if event.type.startswith(f"{TYPE}.") else ""
    by_extension = event.extensions.get("jobstatus", "").upper()
    if by_type and by_extension and by_type != by_extension:
        faults.add("jobstatus", "must be left out or be as in the type")
    if not by_type and not by_extension:
        faults.add("type", f"must be {TYPE} or {TYPE}.<status>; any other needs the extension jobstatus")
    return by_type or by_extension
