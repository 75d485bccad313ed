"""Whether a graph could be executed here."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from runner_service.domain.graph import Graph
from runner_service.domain.node_types import NodeTypes
from runner_service.domain.validation import violations_of
from wakepoint.chassis.errors import FieldViolation, Violations, from_validation_error
from wakepoint.chassis.protojson import check_text


def check_graph(graph: Mapping[str, Any], types: NodeTypes) -> tuple[Graph | None, list[FieldViolation]]:
    """The graph as a model and every fault of it, with paths below `graph`; without faults there is a model."""
    found = Violations()
    check_text(graph, "graph", found)
    try:
        parsed = Graph.model_validate(graph)
    except ValidationError as error:
        found.extend(from_validation_error(error, "graph"))
        return None, list(found)
    found.extend(violations_of(parsed, types))
    # What cannot be stored is found by both the walk over all text and the check of a node's properties.
    return parsed, list(dict.fromkeys(found))


def violations_in(graph: Mapping[str, Any], types: NodeTypes) -> list[FieldViolation]:
    """Every fault of a graph, with paths below `graph`; empty if it can be executed."""
    return check_graph(graph, types)[1]
