"""Whether a graph could be executed here."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from runner_service.domain.graph import Graph
from runner_service.domain.node_types import NodeTypes
from runner_service.domain.validation import violations_of
from wakepoint.chassis.errors import FieldViolation, InvalidArgument, Violations, from_validation_error
from wakepoint.chassis.protojson import check_text


def violations_in(graph: Mapping[str, Any], types: NodeTypes) -> list[FieldViolation]:
    """Every fault of a graph, with paths below `graph`; empty if it can be executed."""
    text = Violations()
    check_text(graph, "graph", text)
    if len(text):
        return list(text)
    try:
        parsed = Graph.model_validate(graph)
    except ValidationError as error:
        return from_validation_error(error, "graph")
    return violations_of(parsed, types)


def valid_graph(graph: Mapping[str, Any], types: NodeTypes) -> Graph:
    """The graph as a model. InvalidArgument naming every fault."""
    if found := violations_in(graph, types):
        raise InvalidArgument.from_violations(found, reason="INVALID_GRAPH")
    return Graph.model_validate(graph)
