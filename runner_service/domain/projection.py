"""What a log folds to: the run as it stands, node by node and activation by activation."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, assert_never

from runner_service.domain.history import EventType, HistoryEvent, Line
from runner_service.domain.plan import components, opened, outer


class RunState(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def finished(self) -> bool:
        return self in (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


class NodeState(StrEnum):
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"

    @property
    def resolved(self) -> bool:
        """Whether what comes behind the node may go on."""
        return self in (NodeState.COMPLETED, NodeState.SKIPPED)


@dataclass(slots=True)
class NodeRecord:
    """A node in one activation. `consumed` counts the events its trigger has used up in this scope so far;
    `resumed`: its present passage began with a wake-up; `failures`: how many of its attempts failed and were to be
    repeated.
    """

    state: NodeState = NodeState.SCHEDULED
    attempt: int = 0
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    reason: str = ""
    saved_state: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    carried: Mapping[str, Any] = field(default_factory=dict)
    consumed: int = 0
    resumed: bool = False
    failures: int = 0


@dataclass(slots=True)
class RunProjection:
    """`nodes[node_id][activation]` is a NodeRecord; everything here derives from the log alone. What a trigger opened
    in a scope below `floors[trigger][scope]` is over and forgotten.
    """

    state: RunState = RunState.QUEUED
    attempt: int = 1
    input: Any = None
    source: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    first_seq: int = 1
    last_seq: int = 0
    nodes: dict[str, dict[str, NodeRecord]] = field(default_factory=dict)
    floors: dict[str, dict[str, int]] = field(default_factory=dict)

    def record(self, node_id: str, activation: str) -> NodeRecord | None:
        return self.nodes.get(node_id, {}).get(activation)

    def records(self) -> Iterator[tuple[str, str, NodeRecord]]:
        """(node_id, activation, record), in the order in which they began."""
        for node_id, by_activation in self.nodes.items():
            for activation, record in by_activation.items():
                yield node_id, activation, record

    def latest(self, node_id: str) -> tuple[str, NodeRecord] | None:
        """The activation of the node that began last."""
        by_activation = self.nodes.get(node_id)
        return next(reversed(by_activation.items())) if by_activation else None

    def suspended_nodes(self) -> list[str]:
        """The ids of the nodes that wait in the database, sorted."""
        return sorted({node_id for node_id, _, record in self.records() if record.state is NodeState.SUSPENDED})


class HistoryGap(ValueError):
    """The log is not gapless: a line is missing, or one stands twice."""


class MalformedHistory(ValueError):
    """A line of the log is not as its type demands."""


def fold(events: Iterable[HistoryEvent]) -> RunProjection:
    """Rebuild a run from its log. Raises HistoryGap, MalformedHistory."""
    projection = RunProjection()
    for event in events:
        if projection.last_seq and event.seq != projection.last_seq + 1:
            raise HistoryGap(f"run {event.run_id}: seq {event.seq} follows {projection.last_seq}")
        if not projection.last_seq:
            projection.first_seq = event.seq
        projection.last_seq = event.seq
        apply(projection, Line(event.event_type, event.node_id, event.activation, event.payload))
    return projection


def apply(projection: RunProjection, line: Line) -> None:
    """Advance the projection by one line."""
    if line.node_id is not None and line.activation is not None:
        _apply_to_node(projection, line, line.node_id, line.activation)
    else:
        _apply_to_run(projection, line)


def _apply_to_run(projection: RunProjection, line: Line) -> None:
    payload = line.payload or {}
    match line.event_type:
        case EventType.RUN_CREATED:
            projection.input = payload.get("input")
            projection.source = payload.get("source") or {}
        case EventType.RUN_QUEUED | EventType.LEASE_TAKEN:
            projection.state = RunState.QUEUED
        case EventType.RUN_STARTED | EventType.RUN_RESUMED:
            projection.state = RunState.RUNNING
        case EventType.RUN_SUSPENDED:
            projection.state = RunState.SUSPENDED
        case EventType.RUN_COMPLETED:
            projection.state = RunState.COMPLETED
            projection.outputs = payload.get("outputs")
        case EventType.RUN_FAILED:
            projection.state = RunState.FAILED
            projection.error = payload.get("error")
            _cancel_nodes(projection)
        case EventType.RUN_CANCELLED:
            projection.state = RunState.CANCELLED
            projection.error = {"type": "Cancelled", "message": payload.get("reason") or ""}
            _cancel_nodes(projection)
        case EventType.RUN_RETRIED:
            _apply_retry(projection)
        case EventType.RUN_SNAPSHOT:
            _apply_snapshot(projection, payload)
        case (
            EventType.TRIGGER_EVENT_RECEIVED
            | EventType.TRIGGER_EVENT_EXPIRED
            | EventType.TRIGGER_EVENT_DEAD_LETTERED
            | EventType.TRIGGER_EVENT_REDELIVERED
            | EventType.TIMER_FIRED
            | EventType.SLOT_MISSED
            | EventType.HEALTH_CHANGED
        ):
            pass  # they tell what happened; the state that it leads to has lines of its own
        case (
            EventType.NODE_SCHEDULED
            | EventType.NODE_STARTED
            | EventType.NODE_COMPLETED
            | EventType.NODE_FAILED
            | EventType.NODE_RETRY_SCHEDULED
            | EventType.NODE_SKIPPED
            | EventType.NODE_CANCELLED
            | EventType.NODE_SUSPENDED
            | EventType.NODE_RESUMED
            | EventType.SUSPENSION_UPDATED
        ):
            raise MalformedHistory(f"{line.event_type} says of no node and no activation that it is theirs")
        case other:
            assert_never(other)


def _apply_to_node(projection: RunProjection, line: Line, node_id: str, activation: str) -> None:
    payload = line.payload or {}
    record = projection.nodes.setdefault(node_id, {}).setdefault(activation, NodeRecord())
    match line.event_type:
        case EventType.NODE_SCHEDULED:
            record.state = NodeState.SCHEDULED
        case EventType.NODE_STARTED:
            record.state = NodeState.RUNNING
            record.attempt = payload["attempt"]
            record.resumed = False
            record.carried = _left_behind(projection, node_id, activation).carried
        case EventType.NODE_COMPLETED:
            _complete(record, payload, _left_behind(projection, node_id, activation).consumed)
        case EventType.NODE_FAILED:
            record.error = payload["error"]
            record.state = NodeState.FAILED
        case EventType.NODE_RETRY_SCHEDULED:
            record.state = NodeState.SCHEDULED
            record.error = payload["error"]
            record.failures += 1
        case EventType.NODE_SKIPPED:
            record.state = NodeState.SKIPPED
        case EventType.NODE_CANCELLED:
            record.state = NodeState.CANCELLED
        case EventType.NODE_SUSPENDED:
            record.state = NodeState.SUSPENDED
            record.reason = payload["reason"]
            record.saved_state = payload["state"]
            record.metadata = payload["metadata"]
        case EventType.NODE_RESUMED:
            record.state = NodeState.RUNNING
            record.attempt = payload["attempt"]
            record.saved_state = payload["state"]
            record.resumed = True
        case EventType.SUSPENSION_UPDATED:
            record.saved_state = payload.get("state", record.saved_state)
        case (
            EventType.TRIGGER_EVENT_RECEIVED
            | EventType.TRIGGER_EVENT_EXPIRED
            | EventType.TRIGGER_EVENT_DEAD_LETTERED
            | EventType.TRIGGER_EVENT_REDELIVERED
            | EventType.TIMER_FIRED
            | EventType.SLOT_MISSED
            | EventType.HEALTH_CHANGED
        ):
            pass  # told for people
        case (
            EventType.RUN_CREATED
            | EventType.RUN_QUEUED
            | EventType.RUN_STARTED
            | EventType.RUN_SUSPENDED
            | EventType.RUN_RESUMED
            | EventType.RUN_COMPLETED
            | EventType.RUN_FAILED
            | EventType.RUN_CANCELLED
            | EventType.RUN_RETRIED
            | EventType.RUN_SNAPSHOT
            | EventType.LEASE_TAKEN
        ):
            raise MalformedHistory(f"{line.event_type} is about a run, not about the node {node_id!r}")
        case other:
            assert_never(other)


def _complete(record: NodeRecord, payload: Mapping[str, Any], consumed_before: int) -> None:
    record.state = NodeState.COMPLETED
    record.attempt = max(record.attempt, 1)
    record.outputs = payload["outputs"]
    record.carried = payload.get("carried", {})
    record.error = None
    record.consumed = consumed_before + payload.get("consumed", 0)


def _left_behind(projection: RunProjection, node_id: str, activation: str) -> NodeRecord:
    """The record of the same trigger's previous activation in its scope, or an empty one."""
    parts = components(activation)
    if not parts or int(parts[-1]) <= 1:
        return NodeRecord()
    previous = opened(outer(activation, len(parts) - 1), int(parts[-1]) - 1)
    return projection.record(node_id, previous) or NodeRecord()


def _apply_retry(projection: RunProjection) -> None:
    """A retried run keeps what completed; what failed begins again as if it had not been tried."""
    projection.state = RunState.QUEUED
    projection.attempt += 1
    projection.error = None
    for _, _, record in projection.records():
        if record.state in (NodeState.FAILED, NodeState.CANCELLED):
            record.state = NodeState.SCHEDULED
            record.failures = 0
            record.resumed = False


def _cancel_nodes(projection: RunProjection) -> None:
    """Who ends a run without holding it writes one line: what had begun and not ended then ends with it."""
    for _, _, record in projection.records():
        if record.state in (NodeState.SCHEDULED, NodeState.RUNNING, NodeState.SUSPENDED):
            record.state = NodeState.CANCELLED


def _apply_snapshot(projection: RunProjection, payload: Mapping[str, Any]) -> None:
    projection.attempt = payload["attempt"]
    projection.input = payload["input"]
    projection.source = payload["source"]
    projection.state = RunState(payload["state"])
    projection.nodes = {
        node_id: {activation: _record_from(saved) for activation, saved in by_activation}
        for node_id, by_activation in payload["nodes"]
    }
    projection.floors = {trigger: dict(by_scope) for trigger, by_scope in payload["floors"].items()}


def _record_from(saved: Mapping[str, Any]) -> NodeRecord:
    return NodeRecord(**{**saved, "state": NodeState(saved["state"])})
