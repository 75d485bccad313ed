"""The records the runner keeps besides the log: runs, waits, the inbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from runner_service.domain.projection import RunState

TIMER_SOURCE = "wakepoint/timer"
JOB_SOURCE = "wakepoint/job"
EXPIRY_SOURCE = "wakepoint/expiry"
JOB_EVENTS_SOURCE = "wakepoint/job-events"
PUBLISH_SOURCE = "wakepoint/publish"
JOB_EVENT = "JOB_EVENT"
RUN_STATE = "RUN_STATE"


class Disposition(StrEnum):
    """What became of a wake-up; the first three are successes."""

    DELIVERED = "DELIVERED"
    BUFFERED = "BUFFERED"
    DUPLICATE = "DUPLICATE"
    EXPIRED = "EXPIRED"
    FINISHED = "FINISHED"
    NO_SUCH_RUN = "NO_SUCH_RUN"
    NO_SUCH_NODE = "NO_SUCH_NODE"
    AMBIGUOUS = "AMBIGUOUS"
    INBOX_FULL = "INBOX_FULL"
    TOO_LARGE = "TOO_LARGE"

    @property
    def success(self) -> bool:
        return self in (Disposition.DELIVERED, Disposition.BUFFERED, Disposition.DUPLICATE)


class TriggerEventState(StrEnum):
    PENDING = "PENDING"
    CONSUMED = "CONSUMED"
    EXPIRED = "EXPIRED"
    DEAD_LETTERED = "DEAD_LETTERED"


@dataclass(frozen=True, slots=True)
class Run:
    """A row of runner.runs. `source` is {firing_id, event_id, trigger_type, depth} where a firing made the run."""

    run_id: str
    experiment_id: str
    workflow_id: str
    graph_hash: bytes
    state: RunState
    input: Any
    source: Mapping[str, Any]
    outputs: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    attempt: int
    first_seq: int
    last_seq: int
    suspended_node_ids: tuple[str, ...]
    create_time: datetime
    start_time: datetime | None
    update_time: datetime
    end_time: datetime | None
    deadline: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run this replica has just taken; what its holder writes must carry this epoch. `waited`: for how long it was
    ready, if it had been claimed before.
    """

    run_id: str
    experiment_id: str
    workflow_id: str
    graph_hash: bytes
    epoch: int
    last_inbox_seq: int
    crashes: int
    create_time: datetime
    waited: timedelta | None = None


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """A pending trigger event; `event` is what the node receives."""

    inbox_seq: int
    node_id: str
    source: str
    event_id: str
    event: Mapping[str, Any]
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A node that waits. Hot while `suspend_time` is None."""

    run_id: str
    node_id: str
    activation: str
    suspended: bool
    wake_time: datetime | None


class WaitHealth(StrEnum):
    """How a waiting node fares."""

    OK = "OK"
    OVERDUE = "OVERDUE"
    STALE = "STALE"
    FAILING = "FAILING"


@dataclass(frozen=True, slots=True)
class SuspendedNode:
    """A waiting node as people see it."""

    run_id: str
    workflow_id: str
    experiment_id: str
    node_id: str
    node_type: str
    reason: str
    state: Mapping[str, Any]
    metadata: Mapping[str, Any]
    create_time: datetime
    suspend_time: datetime | None
    wake_time: datetime | None
    priority: int
    pending_events: int
    health: WaitHealth
    topics: Sequence[str] = ()
    expire_time: datetime | None = None
    webhook_scope: str | None = None

    @property
    def key(self) -> str:
        return f"{self.workflow_id}:{self.node_id}"


@dataclass(frozen=True, slots=True)
class NewWait:
    """A wait to be written with a step; `expires_after` and `stale_after` in seconds from its beginning. `failures`: so
    many attempts of the passage failed before.
    """

    node_id: str
    activation: str
    node_type: str
    suspended: bool
    reason: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    wake_time: datetime | None = None
    priority: int = 0
    expires_after: float | None = None
    stale_after: float | None = None
    stale_policy: str = "none"
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """A trigger event that leaves the inbox with a step."""

    inbox_seq: int
    state: TriggerEventState
    activation: str | None = None
    reason: str | None = None
