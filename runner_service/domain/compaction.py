"""What of an endless run may be forgotten: activations that are over. Neither its memory nor its log grows with age."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from runner_service.domain.history import EventType, Line
from runner_service.domain.plan import ROOT, GraphPlan, components
from runner_service.domain.projection import NodeRecord, RunProjection
from runner_service.domain.scheduling import is_forgotten


def prune(plan: GraphPlan, projection: RunProjection) -> int:
    """Forget the records of activations that are over; how many passages of triggers these were.

    Of each trigger, in each scope, the last passage and the one before it stay: the one before holds what the last one
    goes on from, and the outcomes of nodes that the last one has not reached. What is forgotten is remembered as a
    floor, so that nothing below it begins anew.
    """
    for trigger in plan.triggers:
        _raise_floors(projection, trigger)
    passages = 0
    for node_id, by_activation in projection.nodes.items():
        gone = [activation for activation in by_activation if is_forgotten(plan, projection, node_id, activation)]
        passages += len(gone) if node_id in plan.triggers else 0
        for activation in gone:
            del by_activation[activation]
    _drop_inner_floors(plan, projection)
    return passages


def size_of(projection: RunProjection) -> int:
    """How many records there are."""
    return sum(len(by_activation) for by_activation in projection.nodes.values())


def run_snapshot(projection: RunProjection) -> Line:
    """The line from which an unfinished run is folded as from all the lines before it."""
    # Lists, because JSON in the database does not keep the order of an object's names, and the order tells which
    # activation began last.
    nodes = [
        [node_id, [[activation, _saved(record)] for activation, record in by_activation.items()]]
        for node_id, by_activation in projection.nodes.items()
    ]
    payload = {
        "attempt": projection.attempt,
        "input": projection.input,
        "source": dict(projection.source),
        "state": projection.state.value,
        "nodes": nodes,
        "floors": {trigger: dict(by_scope) for trigger, by_scope in projection.floors.items()},
    }
    return Line(EventType.RUN_SNAPSHOT, payload=payload)


def _raise_floors(projection: RunProjection, trigger: str) -> None:
    for activation in projection.nodes.get(trigger, {}):
        *scope, number = components(activation)
        floors = projection.floors.setdefault(trigger, {})
        key = ".".join(scope) or ROOT
        floors[key] = max(floors.get(key, 1), int(number) - 1)
    floors = projection.floors.get(trigger, {})
    for key in [key for key, floor in floors.items() if floor <= 1]:
        del floors[key]
    if not floors:
        projection.floors.pop(trigger, None)


def _drop_inner_floors(plan: GraphPlan, projection: RunProjection) -> None:
    """A floor in a scope that is itself forgotten is of no use any more."""
    for trigger, floors in list(projection.floors.items()):
        for scope in [scope for scope in floors if scope != ROOT]:
            if is_forgotten(plan, projection, trigger, scope):
                del floors[scope]
        if not floors:
            del projection.floors[trigger]


def _saved(record: NodeRecord) -> Mapping[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}
