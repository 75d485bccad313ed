"""What may run next: a node runs once when each of its incoming edges is resolved, and is skipped when all were
skipped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner_service.domain.graph import DEFAULT_OUTPUT
from runner_service.domain.plan import ROOT, GraphPlan, components, opened, outer, within
from runner_service.domain.projection import NodeRecord, NodeState, RunProjection


@dataclass(frozen=True, slots=True)
class Ready:
    """The node can run, with these inputs."""

    node_id: str
    activation: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Skip:
    """No incoming edge brought a value: the node does not run."""

    node_id: str
    activation: str


OUTPUT_TYPE = "Output"
Place = tuple[str, str]
"""A node id and an activation."""


def beginnings(plan: GraphPlan) -> Iterator[Place]:
    """Where a fresh run begins."""
    for node_id in plan.starting_nodes():
        yield node_id, _first(plan, node_id, ROOT)


def open_places(plan: GraphPlan, projection: RunProjection) -> Iterator[Place]:
    """Every place that may be decided now, computed from scratch: for a run that was just loaded."""
    yield from beginnings(plan)
    for node_id, activation, record in list(projection.records()):
        if record.state.resolved:
            yield from following(plan, projection, node_id, activation)


def following(plan: GraphPlan, projection: RunProjection, node_id: str, activation: str) -> Iterator[Place]:
    """The places that the outcome of a node may have opened: its targets, and triggers that can take their next
    event.
    """
    for target in dict.fromkeys(edge.target for edge in plan.outgoing[node_id]):
        for scope in _scopes(plan, projection, target, activation):
            yield target, _first(plan, target, scope)
    yield from _reopened(plan, projection, node_id, activation)


def decide(plan: GraphPlan, projection: RunProjection, node_id: str, activation: str) -> Ready | Skip | None:
    """None: it has begun already, or something it needs is still missing."""
    if projection.record(node_id, activation) is not None or is_forgotten(plan, projection, node_id, activation):
        return None
    values, resolved = inputs_of(plan, projection, node_id, activation)
    if not resolved:
        return None
    if plan.incoming[node_id] and not values:
        return Skip(node_id, activation)
    return Ready(node_id, activation, values)


def is_forgotten(plan: GraphPlan, projection: RunProjection, node_id: str, activation: str) -> bool:
    """Whether the activation is over for the node, and its record was dropped for that."""
    parts = components(activation)
    for trigger, floors in projection.floors.items():
        if node_id != trigger and node_id not in plan.behind.get(trigger, ()):
            continue
        depth = plan.depth[trigger]
        floor = floors.get(outer(activation, depth - 1), 1)
        if depth <= len(parts) and int(parts[depth - 1]) < floor:
            return True
    return False


def inputs_of(plan: GraphPlan, projection: RunProjection, node_id: str, activation: str) -> tuple[dict[str, Any], bool]:
    """The values at the node's inputs by name, and whether every incoming edge is resolved."""
    values: dict[str, Any] = {}
    for edge in plan.incoming[node_id]:
        record = projection.record(edge.source, outer(activation, plan.depth[edge.source]))
        if record is None or not record.state.resolved:
            return {}, False
        if edge.source_output in record.outputs:
            values[edge.target_input] = record.outputs[edge.source_output]
    return values, True


def wants_more(plan: GraphPlan, node_id: str, record: NodeRecord) -> bool:
    """Whether a trigger that has just completed a passage waits for further events."""
    limit = plan.nodes[node_id].properties.get("max_events", 1)
    return record.state is NodeState.COMPLETED and (limit == 0 or record.consumed < limit)


def events_left(plan: GraphPlan, projection: RunProjection, node_id: str, activation: str) -> int | None:
    """How many events a trigger may still use up in the scope of an open activation; None: any number."""
    limit: int = plan.nodes[node_id].properties.get("max_events", 1)
    if limit == 0:
        return None
    scope = outer(activation, plan.scope_depth(node_id))
    records = projection.nodes.get(node_id, {}).items()
    return limit - max((record.consumed for passage, record in records if within(passage, scope)), default=0)


def takes_no_more(plan: GraphPlan, projection: RunProjection, node_id: str) -> bool:
    """Whether the node will never take another trigger event: it is resolved, and no trigger before it can open it
    anew.
    """
    latest = projection.latest(node_id)
    if latest is None or plan.scope_depth(node_id) > 0 or not latest[1].state.resolved:
        return False
    return not (node_id in plan.triggers and wants_more(plan, node_id, latest[1]))


def closed_nodes(plan: GraphPlan, projection: RunProjection) -> list[str]:
    """Those among the nodes that ever waited that take no more trigger events."""
    return [
        node_id
        for node_id in projection.nodes
        if (node_id in plan.triggers or _ever_waited(projection, node_id)) and takes_no_more(plan, projection, node_id)
    ]


def run_outputs(plan: GraphPlan, projection: RunProjection) -> dict[str, Any]:
    """What arrived at the Output nodes, by their names; the last activation's where there were several."""
    outputs: dict[str, Any] = {}
    for node_id, node in plan.nodes.items():
        latest = projection.latest(node_id) if node.type == OUTPUT_TYPE else None
        if latest is not None and latest[1].state is NodeState.COMPLETED:
            outputs[str(node.properties.get("name") or node_id)] = latest[1].outputs.get(DEFAULT_OUTPUT)
    return outputs


def _ever_waited(projection: RunProjection, node_id: str) -> bool:
    return any(record.reason for record in projection.nodes[node_id].values())


def _first(plan: GraphPlan, node_id: str, scope: str) -> str:
    return opened(scope, 1) if node_id in plan.triggers else scope


def _scopes(plan: GraphPlan, projection: RunProjection, target: str, activation: str) -> list[str]:
    """The scopes within `activation` in which the target may be decided now."""
    depth = plan.scope_depth(target)
    if depth == len(components(activation)):
        return [activation]
    deepest = [edge.source for edge in plan.incoming[target] if plan.depth[edge.source] == depth]
    return [scope for scope in projection.nodes.get(deepest[0], {}) if within(scope, activation)]


def _reopened(plan: GraphPlan, projection: RunProjection, node_id: str, activation: str) -> Iterator[Place]:
    # Whatever is resolved last behind a trigger has no target of its own left, so only such nodes can close an
    # activation.
    if plan.outgoing[node_id] and not _all_targets_resolved(plan, projection, node_id, activation):
        return
    for trigger in plan.triggers:
        if node_id != trigger and node_id not in plan.behind[trigger]:
            continue
        opened_by = outer(activation, plan.depth[trigger])
        record = projection.record(trigger, opened_by)
        if (
            record is not None
            and wants_more(plan, trigger, record)
            and finished_behind(plan, projection, trigger, opened_by)
        ):
            *scope, number = components(opened_by)
            yield trigger, opened(".".join(scope) or ROOT, int(number) + 1)


def _all_targets_resolved(plan: GraphPlan, projection: RunProjection, node_id: str, activation: str) -> bool:
    return all(_resolved_in(plan, projection, edge.target, activation) for edge in plan.outgoing[node_id])


def finished_behind(plan: GraphPlan, projection: RunProjection, trigger: str, activation: str) -> bool:
    """Whether everything behind the trigger has finished in the activation that it opened."""
    return all(
        _resolved_in(plan, projection, node_id, activation)
        for node_id in reversed(plan.order)
        if node_id in plan.behind[trigger] and plan.scope_depth(node_id) == plan.depth[trigger]
    )


def _resolved_in(plan: GraphPlan, projection: RunProjection, node_id: str, activation: str) -> bool:
    if node_id not in plan.triggers:
        record = projection.record(node_id, activation)
        return record is not None and record.state.resolved
    return _trigger_done(plan, projection, node_id, activation)


def _trigger_done(plan: GraphPlan, projection: RunProjection, trigger: str, scope: str) -> bool:
    """Whether a trigger will open nothing more in `scope` and everything behind it there has finished."""
    depth = plan.depth[trigger]
    passages = [a for a in projection.nodes.get(trigger, {}) if len(components(a)) == depth and within(a, scope)]
    if not passages:
        return False
    record = projection.nodes[trigger][passages[-1]]
    # Behind a skipped trigger something may run all the same: a join that also has inputs from elsewhere.
    done = record.state.resolved and not wants_more(plan, trigger, record)
    return done and finished_behind(plan, projection, trigger, passages[-1])
