"""Small node types for planning and validating, and short ways to write graphs."""

from collections.abc import Mapping
from typing import Any

from runner_service.domain.graph import Edge, Graph, GraphNode
from runner_service.domain.node_types import NodeTypeFacts
from wakepoint.chassis.errors import FieldViolation


def _nothing_wrong(_: Mapping[str, Any]) -> list[FieldViolation]:
    return []


def _needs_value(properties: Mapping[str, Any]) -> list[FieldViolation]:
    return [] if "value" in properties else [FieldViolation("value", "field required")]


def facts(
    *,
    is_trigger: bool = False,
    output_names: tuple[str, ...] = ("output",),
    input_names: tuple[str, ...] | None = None,
    exclusive_outputs: bool = False,
    strict: bool = False,
) -> NodeTypeFacts:
    check = _needs_value if strict else _nothing_wrong
    return NodeTypeFacts(is_trigger, output_names, input_names, exclusive_outputs, check)


TYPES = {
    "Work": facts(),
    "Trigger": facts(is_trigger=True),
    "Branch": facts(output_names=("true", "false"), exclusive_outputs=True),
    "Fork": facts(output_names=("left", "right")),
    "Output": facts(input_names=("input",)),
    "Strict": facts(strict=True),
}


def work(*node_ids: str) -> tuple[GraphNode, ...]:
    return tuple(GraphNode(id=node_id, type="Work") for node_id in node_ids)


def trigger(node_id: str, max_events: int = 1) -> GraphNode:
    return GraphNode(id=node_id, type="Trigger", properties={"max_events": max_events})


def branch(node_id: str) -> GraphNode:
    return GraphNode(id=node_id, type="Branch")


def graph(nodes: tuple[GraphNode, ...], *edges: str) -> Graph:
    """Edges are written `a>b`, `a.true>b` or `a>b.left`; an edge has an input of its own unless it names one."""
    return Graph(nodes=nodes, edges=tuple(_edge(text) for text in edges))


def _edge(text: str) -> Edge:
    left, right = text.split(">")
    source, _, output = left.partition(".")
    target, _, target_input = right.partition(".")
    return Edge(
        source=source,
        source_output=output or "output",
        target=target,
        target_input=target_input or (f"from_{source}" if not output else f"from_{source}_{output}"),
    )
