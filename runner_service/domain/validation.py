"""Whether a graph can be executed: every fault at once, each with the path of the field at fault."""

from collections.abc import Iterator, Mapping

from runner_service.domain.graph import Edge, Graph
from runner_service.domain.node_types import NodeTypes
from runner_service.domain.plan import GraphPlan, topological_order
from wakepoint.chassis.errors import FieldViolation

MAX_NODES = 10_000
MAX_ID_LENGTH = 200
MAX_TRIGGER_PAIRS = 1_000_000
"""Triggers times nodes: a plan knows for each trigger what stands behind it."""


def violations_of(graph: Graph, types: NodeTypes) -> list[FieldViolation]:
    """Empty if the graph can be executed."""
    if len(graph.nodes) > MAX_NODES:
        return [FieldViolation("graph.nodes", f"at most {MAX_NODES} nodes, not {len(graph.nodes)}")]
    found = [
        *_node_faults(graph, types),
        *_edge_faults(graph, types),
        *_cycle_faults(graph),
        *_input_faults(graph, types),
        *_size_faults(graph, types),
    ]
    # Only what is sound so far can be planned.
    return found or [*_trigger_faults(graph, types)]


def _node_faults(graph: Graph, types: NodeTypes) -> Iterator[FieldViolation]:
    if not graph.nodes:
        yield FieldViolation("graph.nodes", "must not be empty")
    seen: set[str] = set()
    for index, node in enumerate(graph.nodes):
        path = f"graph.nodes[{index}]"
        if not node.id:
            yield FieldViolation(f"{path}.id", "must not be empty")
        elif len(node.id) > MAX_ID_LENGTH:
            yield FieldViolation(f"{path}.id", f"must have at most {MAX_ID_LENGTH} characters")
        elif node.id in seen:
            yield FieldViolation(f"{path}.id", f"duplicate node id: {node.id}")
        seen.add(node.id)
        if node.type not in types:
            yield FieldViolation(f"{path}.type", f"unknown node type: {node.type}")
            continue
        for fault in types[node.type].check_properties(node.properties):
            yield FieldViolation(f"{path}.properties{fault.field and '.' + fault.field}", fault.description)


def _edge_faults(graph: Graph, types: NodeTypes) -> Iterator[FieldViolation]:
    type_of = {node.id: node.type for node in graph.nodes}
    for index, edge in enumerate(graph.edges):
        path = f"graph.edges[{index}]"
        for end, node_id in (("source", edge.source), ("target", edge.target)):
            if node_id not in type_of:
                yield FieldViolation(f"{path}.{end}", f"no node has the id {node_id!r}")
        source = types.get(type_of.get(edge.source, ""))
        if source is not None and edge.source_output not in source.output_names:
            names = ", ".join(source.output_names) or "none"
            yield FieldViolation(
                f"{path}.source_output", f"{edge.source!r} has no output {edge.source_output!r} (it has: {names})"
            )
        target = types.get(type_of.get(edge.target, ""))
        if target is not None and target.input_names is not None and edge.target_input not in target.input_names:
            names = ", ".join(target.input_names) or "none"
            yield FieldViolation(
                f"{path}.target_input", f"{edge.target!r} has no input {edge.target_input!r} (it has: {names})"
            )


def _cycle_faults(graph: Graph) -> Iterator[FieldViolation]:
    ordered = set(topological_order(graph))
    rest = [node.id for node in graph.nodes if node.id not in ordered]
    if rest:
        yield FieldViolation("graph.edges", f"the graph has a cycle: {' -> '.join(_one_cycle(graph, set(rest)))}")


def _one_cycle(graph: Graph, rest: set[str]) -> list[str]:
    # Every node left over by the topological sort has a predecessor that is left over too, so walking back must repeat.
    before = {edge.target: edge.source for edge in graph.edges if edge.source in rest and edge.target in rest}
    node_id = next(iter(sorted(rest & before.keys())))
    path: list[str] = []
    while node_id not in path:
        path.append(node_id)
        node_id = before[node_id]
    cycle = path[path.index(node_id) :]
    return [node_id, *reversed(cycle)]


def _input_faults(graph: Graph, types: NodeTypes) -> Iterator[FieldViolation]:
    """Two values on one input are refused, except from different outputs of one node of which only one is taken."""
    type_of = {node.id: node.type for node in graph.nodes}
    first: dict[tuple[str, str], Edge] = {}
    for index, edge in enumerate(graph.edges):
        key = (edge.target, edge.target_input)
        other = first.setdefault(key, edge)
        if other is edge:
            continue
        exclusive = (
            other.source == edge.source
            and other.source_output != edge.source_output
            and edge.source in type_of
            and type_of[edge.source] in types
            and types[type_of[edge.source]].exclusive_outputs
        )
        if not exclusive:
            yield FieldViolation(
                f"graph.edges[{index}].target_input",
                f"input {edge.target_input!r} of {edge.target!r} already gets a value from {other.source!r}",
            )


def _size_faults(graph: Graph, types: NodeTypes) -> Iterator[FieldViolation]:
    triggers = sum(node.type in types and types[node.type].is_trigger for node in graph.nodes)
    if triggers * len(graph.nodes) > MAX_TRIGGER_PAIRS:
        yield FieldViolation(
            "graph.nodes",
            f"{triggers} triggers among {len(graph.nodes)} nodes are too many: "
            f"their product must be at most {MAX_TRIGGER_PAIRS}",
        )


def _trigger_faults(graph: Graph, types: NodeTypes) -> Iterator[FieldViolation]:
    """A node behind two independent triggers is legal only where both take a single event: it then joins once."""
    plan = GraphPlan.of(graph, types)
    index_of = {node.id: index for index, node in enumerate(graph.nodes)}
    triggers = sorted(plan.triggers)
    repeating = [t for t in triggers if plan.nodes[t].properties.get("max_events", 1) != 1]
    # Sets of triggers are bits of a number, because there may be a million pairs of a node and a trigger.
    bit = {trigger: 1 << number for number, trigger in enumerate(triggers)}
    before = _triggers_before(plan, bit)
    one_chain = {t: before[t] | sum(bit[o] for o in plan.behind[t] & bit.keys()) | bit[t] for t in repeating}
    for node_id in plan.order:
        for trigger in repeating:
            independent = before[node_id] & ~one_chain[trigger] if before[node_id] & bit[trigger] else 0
            if independent:
                other = triggers[(independent & -independent).bit_length() - 1]
                yield FieldViolation(
                    f"graph.nodes[{index_of[node_id]}]",
                    f"{node_id!r} stands behind the independent triggers {trigger!r} and {other!r}, "
                    f"so both need max_events = 1",
                )
                break


def _triggers_before(plan: GraphPlan, bit: Mapping[str, int]) -> dict[str, int]:
    """For each node the triggers it stands behind, itself not among them."""
    before: dict[str, int] = {}
    for node_id in plan.order:
        found = 0
        for edge in plan.incoming[node_id]:
            found |= before[edge.source] | bit.get(edge.source, 0)
        before[node_id] = found
    return before
