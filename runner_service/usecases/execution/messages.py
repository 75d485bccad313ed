"""What a run's nodes, and the world, tell the one who holds the run. It alone decides and writes."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from runner_service.domain.history import Line
from wakepoint.nodes import NodeSuspended


@dataclass(frozen=True, slots=True)
class Returned:
    """A node's process() came to its end."""

    node_id: str
    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """A node's process() failed."""

    node_id: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class GaveUp:
    """A node gave its frame up, to wait in the database."""

    node_id: str
    suspension: NodeSuspended


@dataclass(frozen=True, slots=True)
class Recorded:
    """A node has something to say in the log."""

    line: Line


@dataclass(frozen=True, slots=True)
class Waits:
    """A node waits in memory."""

    node_id: str


@dataclass(frozen=True, slots=True)
class RetryDue:
    """A failed node's back-off is over."""

    node_id: str


@dataclass(frozen=True, slots=True)
class InboxChanged:
    """There may be new events for the run."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The replica is to stop: nodes that wait suspend now."""


@dataclass(frozen=True, slots=True)
class HandBack:
    """The replica stops now: whatever still executes is given back."""


Message: TypeAlias = Returned | Raised | GaveUp | Recorded | Waits | RetryDue | InboxChanged | Drain | HandBack
