"""Trigger events on their way to a node, and what becomes of a wake-up given what the locked rows say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner_service.domain.projection import RunState
from runner_service.domain.runs import (
    EXPIRY_SOURCE,
    JOB_EVENTS_SOURCE,
    JOB_SOURCE,
    PUBLISH_SOURCE,
    TIMER_SOURCE,
    Disposition,
)
from wakepoint.chassis.errors import FieldViolation

MAX_PENDING_EVENTS = 10_000
MAX_EVENT_BYTES = 1024 * 1024
MAX_IDENTITY_BYTES = 500
"""Of source and of event_id: they stand in the keys of indexes."""
MAX_PRIORITY = 100
RESERVED_SOURCES = frozenset({TIMER_SOURCE, JOB_SOURCE, JOB_EVENTS_SOURCE, PUBLISH_SOURCE, EXPIRY_SOURCE})
"""Only the runner itself says that a time has come or a job has ended, and what a node published; nodes believe it."""


@dataclass(frozen=True, slots=True)
class TriggerEvent:
    """An event with CloudEvents' attributes; its identity is (source, event_id). `occur_time` is aware. `topic`: where
    it was published, if it was.
    """

    event_id: str
    source: str
    type: str
    payload: Any
    occur_time: datetime
    subject: str = ""
    content_type: str = ""
    body_base64: str = ""
    trace_parent: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    expire_time: datetime | None = None
    topic: str = ""

    def as_node_sees_it(self) -> dict[str, Any]:
        """The mapping a node receives; attributes that were not given are left out."""
        time = self.occur_time.isoformat()
        seen: dict[str, Any] = {
            "event_id": self.event_id,
            "source": self.source,
            "type": self.type,
            "payload": self.payload,
            "timestamp": time,
            "occur_time": time,
        }
        optional = {
            "subject": self.subject,
            "content_type": self.content_type,
            "body_base64": self.body_base64,
            "trace_parent": self.trace_parent,
            "extensions": dict(self.extensions),
            "topic": self.topic,
        }
        return seen | {name: value for name, value in optional.items() if value}

    @classmethod
    def from_seen(cls, seen: Mapping[str, Any], *, priority: int, expire_time: datetime | None) -> "TriggerEvent":
        """The event of which `as_node_sees_it` made `seen`."""
        attributes = {name: value for name, value in seen.items() if name != "timestamp"}
        attributes["occur_time"] = datetime.fromisoformat(seen["occur_time"])
        return cls(**attributes, priority=priority, expire_time=expire_time)


def faults_of(event: TriggerEvent) -> list[FieldViolation]:
    """Why an event from outside cannot be accepted, with paths below `event`."""
    faults = []
    if not event.event_id:
        faults.append(FieldViolation("event.event_id", "must not be empty"))
    for name, text in (("event_id", event.event_id), ("source", event.source)):
        if len(text.encode("utf-8", "surrogatepass")) > MAX_IDENTITY_BYTES:
            faults.append(FieldViolation(f"event.{name}", f"must have at most {MAX_IDENTITY_BYTES} bytes"))
    if event.source in RESERVED_SOURCES:
        faults.append(FieldViolation("event.source", f"{event.source} is the runner's own"))
    if abs(event.priority) > MAX_PRIORITY:
        faults.append(FieldViolation("event.priority", f"must be between {-MAX_PRIORITY} and {MAX_PRIORITY}"))
    return faults


def size_of(event: TriggerEvent) -> int:
    """The bytes of the event's JSON."""
    return len(json.dumps(event.as_node_sees_it(), ensure_ascii=False).encode())


@dataclass(frozen=True, slots=True)
class Address:
    """A node of a run that an event is for."""

    run_id: str
    node_id: str


@dataclass(slots=True)
class NodeFacts:
    """What the rows say about an addressed node, read after its run was locked."""

    exists: bool
    waiting: bool
    pending: int
    priority: int = 0


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the locked run row says."""

    state: RunState
    closed_nodes: frozenset[str]


def disposition_of(
    run: RunFacts | None, node: NodeFacts | None, node_id: str, *, known: bool, expired: bool
) -> Disposition:
    """What becomes of an event. `known`: an event of the same identity was accepted before; `expired`: it comes too
    late.
    """
    if run is None or node is None:
        return Disposition.NO_SUCH_RUN
    if not node.exists:
        return Disposition.NO_SUCH_NODE
    if known:
        return Disposition.DUPLICATE
    if run.state.finished or node_id in run.closed_nodes:
        return Disposition.FINISHED
    if expired:
        return Disposition.EXPIRED
    if node.pending >= MAX_PENDING_EVENTS:
        return Disposition.INBOX_FULL
    return Disposition.DELIVERED if node.waiting and node.pending == 0 else Disposition.BUFFERED
