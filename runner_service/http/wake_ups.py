"""What a CloudEvent says to a node."""

import base64
from collections.abc import Mapping
from typing import Any

from wakepoint.chassis.cloud_events import ReceivedEvent
from wakepoint.chassis.errors import Violations
from wakepoint.chassis.transcoder import read_json, renamed_faults
from wakepoint.runner.v1.runner_service_pb2 import WakeUpRequest

_ADDRESS: Mapping[str, str] = {
    "run_id": "runid",
    "workflow_id": "workflowid",
    "node_id": "nodeid",
    "experiment_id": "experimentid",
}
_EVENT: Mapping[str, str] = {"trace_parent": "traceparent", "priority": "priority", "expire_time": "expiretime"}
_OWN = frozenset({*_ADDRESS.values(), *_EVENT.values()})

NAMES: Mapping[str, str] = {
    **_ADDRESS,
    "event.event_id": "id",
    "event.occur_time": "time",
    "event.payload": "data",
    **{f"event.{field}": name for field, name in _EVENT.items()},
    "event.source": "source",
    "event.type": "type",
    "event.subject": "subject",
    "event.extensions": "extensions",
}
"""Where in the CloudEvent each field of the request stands, for telling its sender of faults."""


def wake_up_of(event: ReceivedEvent) -> WakeUpRequest:
    """The wake-up. InvalidArgument names every attribute of the CloudEvent that is wrong."""
    given = event.extensions
    said: dict[str, Any] = {field: given[name] for field, name in _ADDRESS.items() if name in given}
    said["event"] = {
        "event_id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "payload": _payload_of(event),
        "extensions": {name: value for name, value in given.items() if name not in _OWN}
        | ({"dataschema": event.data_schema} if event.data_schema else {}),
    }
    if event.time is not None:
        said["event"]["occur_time"] = event.time.isoformat()
    said["event"] |= {field: given[name] for field, name in _EVENT.items() if name in given}
    message, unread = WakeUpRequest(), Violations()
    read_json(message, said, "", unread)
    faults = Violations()
    faults.extend(renamed_faults(unread, NAMES))
    faults.raise_if_any(reason="MALFORMED_CLOUD_EVENT")
    return message


def _payload_of(event: ReceivedEvent) -> object:
    if isinstance(event.data, bytes):
        return {"body_base64": base64.b64encode(event.data).decode(), "content_type": event.content_type}
    return event.data
