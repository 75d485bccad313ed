"""The lines of a run's log: their types, and one constructor a type that says what its payload holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """Every kind of line a log can hold."""

    RUN_CREATED = "RunCreated"
    RUN_QUEUED = "RunQueued"
    RUN_STARTED = "RunStarted"
    RUN_SUSPENDED = "RunSuspended"
    RUN_RESUMED = "RunResumed"
    RUN_COMPLETED = "RunCompleted"
    RUN_FAILED = "RunFailed"
    RUN_CANCELLED = "RunCancelled"
    RUN_RETRIED = "RunRetried"
    RUN_SNAPSHOT = "RunSnapshot"
    LEASE_TAKEN = "LeaseTaken"
    NODE_SCHEDULED = "NodeScheduled"
    NODE_STARTED = "NodeStarted"
    NODE_COMPLETED = "NodeCompleted"
    NODE_FAILED = "NodeFailed"
    NODE_RETRY_SCHEDULED = "NodeRetryScheduled"
    NODE_SKIPPED = "NodeSkipped"
    NODE_CANCELLED = "NodeCancelled"
    NODE_SUSPENDED = "NodeSuspended"
    NODE_RESUMED = "NodeResumed"
    SUSPENSION_UPDATED = "SuspensionUpdated"
    TRIGGER_EVENT_RECEIVED = "TriggerEventReceived"
    TRIGGER_EVENT_EXPIRED = "TriggerEventExpired"
    TRIGGER_EVENT_DEAD_LETTERED = "TriggerEventDeadLettered"
    TRIGGER_EVENT_REDELIVERED = "TriggerEventRedelivered"
    TIMER_FIRED = "TimerFired"
    SLOT_MISSED = "SlotMissed"
    HEALTH_CHANGED = "HealthChanged"


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is still to be written: it gets its seq from the locked run row."""

    event_type: EventType
    node_id: str | None = None
    activation: str | None = None
    payload: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """A line as it stands in the log."""

    run_id: str
    seq: int
    event_type: EventType
    node_id: str | None
    activation: str | None
    payload: Mapping[str, Any]
    epoch: int
    create_time: datetime


def run_created(graph_hash: bytes, run_input: Any, source: Mapping[str, Any]) -> Line:
    return Line(
        EventType.RUN_CREATED, payload={"graph_hash": graph_hash.hex(), "input": run_input, "source": dict(source)}
    )


def run_queued(reason: str) -> Line:
    return Line(EventType.RUN_QUEUED, payload={"reason": reason})


def run_suspended(node_ids: Sequence[str]) -> Line:
    return Line(EventType.RUN_SUSPENDED, payload={"node_ids": list(node_ids)})


def run_completed(outputs: Mapping[str, Any]) -> Line:
    return Line(EventType.RUN_COMPLETED, payload={"outputs": dict(outputs)})


def run_failed(error: Mapping[str, Any]) -> Line:
    return Line(EventType.RUN_FAILED, payload={"error": dict(error)})


def run_cancelled(reason: str) -> Line:
    return Line(EventType.RUN_CANCELLED, payload={"reason": reason})


def node_scheduled(node_id: str, activation: str) -> Line:
    return Line(EventType.NODE_SCHEDULED, node_id, activation)


def node_started(node_id: str, activation: str, attempt: int) -> Line:
    return Line(EventType.NODE_STARTED, node_id, activation, {"attempt": attempt})


def node_completed(
    node_id: str,
    activation: str,
    outputs: Mapping[str, Any],
    *,
    consumed: int = 0,
    carried: Mapping[str, Any] | None = None,
) -> Line:
    """`outputs` by output name; `consumed` counts the trigger events that this outcome uses up."""
    payload: dict[str, Any] = {"outputs": dict(outputs)}
    if consumed:
        payload["consumed"] = consumed
    if carried:
        payload["carried"] = dict(carried)
    return Line(EventType.NODE_COMPLETED, node_id, activation, payload)


def node_failed(node_id: str, activation: str, error: Mapping[str, Any]) -> Line:
    """No further attempt follows. `error` is {type, message, traceback}."""
    return Line(EventType.NODE_FAILED, node_id, activation, {"error": dict(error)})


def node_cancelled(node_id: str, activation: str) -> Line:
    return Line(EventType.NODE_CANCELLED, node_id, activation)


def node_retry_scheduled(
    node_id: str, activation: str, attempt: int, delay_seconds: float, error: Mapping[str, Any]
) -> Line:
    payload = {"attempt": attempt, "delay_seconds": delay_seconds, "error": dict(error)}
    return Line(EventType.NODE_RETRY_SCHEDULED, node_id, activation, payload)


def node_skipped(node_id: str, activation: str, reason: str = "") -> Line:
    """Without a `reason`: nothing arrived at the node."""
    return Line(EventType.NODE_SKIPPED, node_id, activation, {"reason": reason} if reason else None)


def node_suspended(
    node_id: str,
    activation: str,
    reason: str,
    state: Mapping[str, Any],
    metadata: Mapping[str, Any],
    wake_time: datetime | None,
) -> Line:
    payload: dict[str, Any] = {"reason": reason, "state": dict(state), "metadata": dict(metadata)}
    if wake_time is not None:
        payload["wake_time"] = wake_time.isoformat()
    return Line(EventType.NODE_SUSPENDED, node_id, activation, payload)


def node_resumed(node_id: str, activation: str, state: Mapping[str, Any], attempt: int) -> Line:
    """`state` is the saved state with `woke_up_at` and `trigger_event` added."""
    return Line(EventType.NODE_RESUMED, node_id, activation, {"state": dict(state), "attempt": attempt})


def trigger_event_received(node_id: str, inbox_seq: int, source: str, event_id: str) -> Line:
    payload = {"inbox_seq": inbox_seq, "source": source, "event_id": event_id}
    return Line(EventType.TRIGGER_EVENT_RECEIVED, node_id, payload=payload)


def timer_fired(node_id: str, wake_time: datetime) -> Line:
    return Line(EventType.TIMER_FIRED, node_id, payload={"wake_time": wake_time.isoformat()})


def trigger_event_dead_lettered(node_id: str, inbox_seq: int, event_id: str, reason: str) -> Line:
    payload = {"inbox_seq": inbox_seq, "event_id": event_id, "reason": reason}
    return Line(EventType.TRIGGER_EVENT_DEAD_LETTERED, node_id, payload=payload)


def trigger_event_expired(node_id: str, inbox_seq: int, event_id: str) -> Line:
    payload = {"inbox_seq": inbox_seq, "event_id": event_id}
    return Line(EventType.TRIGGER_EVENT_EXPIRED, node_id, payload=payload)


def trigger_event_redelivered(node_id: str, source: str, event_id: str, original_event_id: str) -> Line:
    """`event_id` is the new event's."""
    payload = {"source": source, "event_id": event_id, "redelivers_event_id": original_event_id}
    return Line(EventType.TRIGGER_EVENT_REDELIVERED, node_id, payload=payload)


def suspension_updated(node_id: str, activation: str, changes: Mapping[str, Any]) -> Line:
    """`changes`: with `state`, that is what the node finds when it resumes."""
    return Line(EventType.SUSPENSION_UPDATED, node_id, activation, dict(changes))


def health_changed(node_id: str, activation: str, before: str, after: str, reason: str) -> Line:
    return Line(EventType.HEALTH_CHANGED, node_id, activation, {"from": before, "to": after, "reason": reason})
