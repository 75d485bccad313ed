"""Graphs: a message on the wire, its JSON form everywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration

from wakepoint.chassis.errors import InvalidArgument, Violations
from wakepoint.chassis.protojson import check_text, duration_to_timedelta, struct_to_python
from wakepoint.workflow.v1.graph_pb2 import Edge, Graph, Node, RetryPolicy

_EDGE_FIELDS = ("source", "source_output", "target", "target_input")


def graph_to_json(graph: Graph, path: str = "graph") -> dict[str, Any]:
    """The graph as it is stored: empty fields left out. InvalidArgument naming every value that cannot be stored."""
    faults = Violations()
    nodes = [_node(node, f"{path}.nodes[{index}]", faults) for index, node in enumerate(graph.nodes)]
    edges = [_edge(edge, f"{path}.edges[{index}]", faults) for index, edge in enumerate(graph.edges)]
    faults.raise_if_any()
    return {"nodes": nodes, "edges": edges}


def graph_from_json(stored: Mapping[str, Any]) -> Graph:
    """The graph as a message. Fields that a later version stored are passed over."""
    return json_format.ParseDict(dict(stored), Graph(), ignore_unknown_fields=True)


def _node(node: Node, path: str, faults: Violations) -> dict[str, Any]:
    found: dict[str, Any] = {"id": node.id, "type": node.type}
    check_text(found, path, faults)
    try:
        if node.HasField("properties"):
            found["properties"] = struct_to_python(node.properties, f"{path}.properties")
            check_text(found["properties"], f"{path}.properties", faults)
        if node.HasField("timeout"):
            found["timeout"] = _span(node.timeout, f"{path}.timeout")
        if node.HasField("retry"):
            found["retry"] = _retry(node.retry, f"{path}.retry")
    except InvalidArgument as error:
        faults.extend(error.violations)
    return found


def _retry(retry: RetryPolicy, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {"max_attempts": retry.max_attempts}
    if retry.HasField("initial_backoff"):
        found["initial_backoff"] = _span(retry.initial_backoff, f"{path}.initial_backoff")
    if retry.HasField("max_backoff"):
        found["max_backoff"] = _span(retry.max_backoff, f"{path}.max_backoff")
    return found


def _span(duration: Duration, path: str) -> str:
    duration_to_timedelta(duration, path)
    return duration.ToJsonString()


def _edge(edge: Edge, path: str, faults: Violations) -> dict[str, Any]:
    found = {name: getattr(edge, name) for name in _EDGE_FIELDS if getattr(edge, name)}
    check_text(found, path, faults)
    return found
