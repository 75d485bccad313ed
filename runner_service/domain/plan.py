"""What follows from a graph alone: order, the triggers before each node, and the shape of activations.

The activation of a node has one component for each trigger on the longest chain of triggers before it, and is "0"
where there is none. A trigger's own records carry the activation that they open, so a trigger counts as one of its
own predecessors.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from runner_service.domain.graph import Edge, Graph, GraphNode
from runner_service.domain.node_types import NodeTypes

ROOT = "0"


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """Derived once per graph; `depth[n]` is the number of components of n's activations."""

    nodes: Mapping[str, GraphNode]
    order: tuple[str, ...]
    incoming: Mapping[str, tuple[Edge, ...]]
    outgoing: Mapping[str, tuple[Edge, ...]]
    triggers: frozenset[str]
    depth: Mapping[str, int]
    behind: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, graph: Graph, types: NodeTypes) -> "GraphPlan":
        """Plan a valid graph."""
        order = topological_order(graph)
        triggers = frozenset(n.id for n in graph.nodes if n.type in types and types[n.type].is_trigger)
        incoming, outgoing = _edges_by_node(graph)
        depth: dict[str, int] = {}
        for node_id in order:
            before = max((depth[edge.source] for edge in incoming[node_id]), default=0)
            depth[node_id] = before + (node_id in triggers)
        return cls(
            nodes={node.id: node for node in graph.nodes},
            order=order,
            incoming=incoming,
            outgoing=outgoing,
            triggers=triggers,
            depth=depth,
            behind={trigger: _descendants(trigger, outgoing) for trigger in triggers},
        )

    def starting_nodes(self) -> tuple[str, ...]:
        """The nodes nothing leads to, in order."""
        return tuple(node_id for node_id in self.order if not self.incoming[node_id])

    def scope_depth(self, node_id: str) -> int:
        """How many triggers stand before the node, itself not counted."""
        return self.depth[node_id] - (node_id in self.triggers)


def components(activation: str) -> tuple[str, ...]:
    """The parts of an activation; none for the root."""
    return () if activation == ROOT else tuple(activation.split("."))


def outer(activation: str, depth: int) -> str:
    """The first `depth` components of an activation."""
    return ".".join(components(activation)[:depth]) or ROOT


def opened(scope: str, number: int) -> str:
    """The activation that a trigger in `scope` opens with its `number`-th passage."""
    return ".".join((*components(scope), str(number)))


def within(activation: str, scope: str) -> bool:
    """Whether `activation` lies in `scope` or is it."""
    return scope in (ROOT, activation) or activation.startswith(scope + ".")


def topological_order(graph: Graph) -> tuple[str, ...]:
    """Node ids, sources first, ties in the graph's own order; what stands on a circle, or behind one, is left out."""
    left: dict[str, int] = {node.id: 0 for node in graph.nodes}
    targets: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        if edge.source in left and edge.target in left:
            left[edge.target] += 1
            targets[edge.source].append(edge.target)
    ready = [node_id for node_id, count in left.items() if count == 0]
    for node_id in ready:  # grows while it is walked
        for target in targets[node_id]:
            left[target] -= 1
            if left[target] == 0:
                ready.append(target)
    return tuple(ready)


def _edges_by_node(graph: Graph) -> tuple[dict[str, tuple[Edge, ...]], dict[str, tuple[Edge, ...]]]:
    incoming: dict[str, list[Edge]] = {node.id: [] for node in graph.nodes}
    outgoing: dict[str, list[Edge]] = {node.id: [] for node in graph.nodes}
    for edge in graph.edges:
        incoming[edge.target].append(edge)
        outgoing[edge.source].append(edge)
    return (
        {node_id: tuple(edges) for node_id, edges in incoming.items()},
        {node_id: tuple(edges) for node_id, edges in outgoing.items()},
    )


def _descendants(start: str, outgoing: Mapping[str, tuple[Edge, ...]]) -> frozenset[str]:
    found: set[str] = set()
    pending = [start]
    while pending:
        for edge in outgoing[pending.pop()]:
            if edge.target not in found:
                found.add(edge.target)
                pending.append(edge.target)
    return frozenset(found)
