"""Graphs: a message on the wire, plain JSON to be checked behind it."""

from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from runner_service.domain.graph import MAX_ATTEMPTS
from runner_service.rpc.convert.requests import read_or
from wakepoint.chassis.errors import FieldViolation, InvalidArgument
from wakepoint.chassis.protojson import duration_to_timedelta, struct_to_python
from wakepoint.workflow.v1.graph_pb2 import Edge, Graph, Node, RetryPolicy


def graph_of(message: Graph, path: str = "graph") -> tuple[dict[str, Any], list[FieldViolation]]:
    """The graph as JSON, and what in it cannot be read; defaults stand in for that, so that the rest can be checked."""
    faults: list[FieldViolation] = []
    nodes = [_node(node, f"{path}.nodes[{index}]", faults) for index, node in enumerate(message.nodes)]
    return {"nodes": nodes, "edges": [_edge(edge) for edge in message.edges]}, faults


def _node(node: Node, path: str, faults: list[FieldViolation]) -> dict[str, Any]:
    none: dict[str, object] = {}
    properties = read_or(none, lambda: struct_to_python(node.properties, f"{path}.properties"), faults)
    found: dict[str, Any] = {"id": node.id, "type": node.type, "properties": properties}
    if node.HasField("timeout"):
        found["timeout_seconds"] = read_or(None, lambda: _positive_seconds(node.timeout, f"{path}.timeout"), faults)
    if node.HasField("retry"):
        found["retry"] = _retry(node.retry, f"{path}.retry", faults)
    return found


def _retry(retry: RetryPolicy, path: str, faults: list[FieldViolation]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not 0 <= retry.max_attempts <= MAX_ATTEMPTS:
        faults.append(FieldViolation(f"{path}.max_attempts", f"must be between 0 and {MAX_ATTEMPTS}"))
    elif retry.max_attempts:
        found["max_attempts"] = retry.max_attempts
    if retry.HasField("initial_backoff"):
        at = f"{path}.initial_backoff"
        found["initial_backoff_seconds"] = read_or(0.0, lambda: _seconds(retry.initial_backoff, at), faults)
    if retry.HasField("max_backoff"):
        at = f"{path}.max_backoff"
        found["max_backoff_seconds"] = read_or(0.0, lambda: _seconds(retry.max_backoff, at), faults)
    return found


def _edge(edge: Edge) -> dict[str, Any]:
    found = {"source": edge.source, "target": edge.target}
    if edge.source_output:
        found["source_output"] = edge.source_output
    if edge.target_input:
        found["target_input"] = edge.target_input
    return found


def _seconds(duration: Duration, path: str) -> float:
    span = duration_to_timedelta(duration, path)
    if span < timedelta(0):
        raise InvalidArgument.of(path, "must not be negative")
    return span.total_seconds()


def _positive_seconds(duration: Duration, path: str) -> float:
    seconds = _seconds(duration, path)
    if not seconds:
        raise InvalidArgument.of(path, "must be longer than 0 s; leave it out for no limit")
    return seconds
