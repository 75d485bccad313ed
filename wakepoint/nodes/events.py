"""Trigger events as nodes see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

TriggerEvent = dict[str, Any]
"""`{event_id, source, type, payload, timestamp, occur_time}`; the times are ISO 8601 text, and both are the same."""

TIMER_SOURCE = "wakepoint/timer"
TIMER_TYPE = "wakepoint.timer"
NODE_SOURCE = "wakepoint/node"
NODE_TYPE = "wakepoint.node"

_ATTRIBUTES = frozenset(
    {
        "event_id",
        "source",
        "type",
        "payload",
        "timestamp",
        "occur_time",
        "subject",
        "content_type",
        "body_base64",
        "trace_parent",
        "extensions",
        "priority",
        "expire_time",
    }
)


def as_trigger_event(event_data: Mapping[str, Any], *, event_id: str, now: datetime) -> TriggerEvent:
    """What `TriggerNode.send_trigger_event` was given, as a whole event.

    A mapping with a `payload` and nothing but attributes of events is an event already, and what it lacks is filled in;
    any other mapping is a payload. `event_id` and `now` are used where the data has none of its own.
    """
    whole = "payload" in event_data and event_data.keys() <= _ATTRIBUTES
    given = dict(event_data) if whole else {"payload": dict(event_data)}
    time = given.get("occur_time") or given.get("timestamp") or now.isoformat()
    defaults = {"event_id": event_id, "source": NODE_SOURCE, "type": NODE_TYPE}
    return {**defaults, **given, "timestamp": time, "occur_time": time}


def timer_event(node_id: str, activation: str, wake_time: datetime, *, now: datetime) -> TriggerEvent:
    """The event that wakes a node at `wake_time`; it is the same however often it is made, but for when it occurred."""
    time = wake_time.isoformat()
    return {
        "event_id": f"{node_id}:{activation}:{time}",
        "source": TIMER_SOURCE,
        "type": TIMER_TYPE,
        "payload": {"wake_time": time},
        "timestamp": now.isoformat(),
        "occur_time": now.isoformat(),
    }


def wake_time_of(event: Mapping[str, Any]) -> datetime | None:
    """The time that a timer event stands for; None for every other event."""
    payload = event.get("payload")
    if event.get("source") != TIMER_SOURCE or not isinstance(payload, Mapping):
        return None
    try:
        time = datetime.fromisoformat(str(payload.get("wake_time")))
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
