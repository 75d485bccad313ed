"""Where the nodes of a run stand, as people are told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from runner_service.domain.projection import NodeRecord, NodeState, RunProjection
from runner_service.domain.runs import Wait


class NodeCondition(StrEnum):
    """A NodeState, or one of the two that the log does not have: not begun yet, and waiting in memory."""

    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node in the activation that it began last; an empty activation and record before the first."""

    condition: NodeCondition
    activation: str
    record: NodeRecord


def statuses_of(projection: RunProjection, node_ids: Iterable[str], waits: Iterable[Wait]) -> Mapping[str, NodeStatus]:
    """By node id, in the order given, the newest activation of each node."""
    hot = {(wait.node_id, wait.activation) for wait in waits if not wait.suspended}
    return {node_id: _status_of(projection, node_id, hot) for node_id in node_ids}


def _status_of(projection: RunProjection, node_id: str, hot: set[tuple[str, str]]) -> NodeStatus:
    latest = projection.latest(node_id)
    if latest is None:
        return NodeStatus(NodeCondition.PENDING, "", NodeRecord())
    activation, record = latest
    waits = record.state is NodeState.RUNNING and (node_id, activation) in hot
    return NodeStatus(NodeCondition.WAITING if waits else NodeCondition(record.state.value), activation, record)
