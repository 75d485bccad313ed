"""Trigger events as nodes see them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

TriggerEvent = dict[str, Any]
"""`{event_id, source, type, payload, timestamp, occur_time}`; the times are ISO 8601 text, and both are the same.

There may also be `subject`, `content_type`, `body_base64`, `trace_parent`, `extensions`, and the `topic` that the event
was published to.
"""

TIMER_SOURCE = "wakepoint/timer"


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
