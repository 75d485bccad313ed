"""What executing runs need from the rest of the service."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runner_service.domain.graph import Graph, GraphNode
from runner_service.domain.node_types import NodeTypes
from runner_service.domain.plan import GraphPlan
from runner_service.domain.webhooks import WebhookTarget
from runner_service.usecases.signals import Signals
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.nodes import Node, Webhook


class Registry(Protocol):
    """The node types on offer."""

    @property
    def facts(self) -> NodeTypes: ...

    def get(self, node_type: str) -> type[Node]:
        """The class of a node type; KeyError when it is not installed."""
        ...

    def build(self, node_type: str, node_id: str, properties: Mapping[str, Any], values: Mapping[str, Any]) -> Node:
        """A node with its `${...}` templates rendered; NodeError when a property does not fit."""
        ...


class HotWaits(Protocol):
    """The waits in memory of a whole replica, of which there is only so much room."""

    def enter(self, evict: Callable[[], None]) -> Callable[[], None]:
        """Take a place; `evict` is called when it is needed for somebody else. The answer gives the place back."""
        ...


@dataclass(frozen=True, slots=True)
class Environment:
    """`holds_lease` says whether this replica may still start nodes, by its own monotonic clock. `compact_after`:
    passages of triggers after which a run's log is compacted.
    """

    database: Database
    clock: Clock
    registry: Registry
    signals: Signals
    hot_waits: HotWaits
    holds_lease: Callable[[], bool]
    webhook_of: Callable[[WebhookTarget], Webhook]
    plan_of: Callable[[bytes, Graph], GraphPlan]
    host: str
    max_output_bytes: int = 1024 * 1024
    max_state_bytes: int = 64 * 1024
    compact_after: int = 200

    def node_class(self, node: GraphNode) -> type[Node] | None:
        """The class of a node, None when its type is not installed here."""
        try:
            return self.registry.get(node.type)
        except KeyError:
            return None
