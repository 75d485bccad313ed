"""Workflows: a graph and the triggers that start it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from trigger_service.domain import limits
from trigger_service.domain.configs import TriggerConfig
from wakepoint.chassis.errors import Violations


class Workflow(BaseModel):
    """One workflow with its configs normalised. `graph` is the graph's JSON form."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    workflow_id: UUID
    experiment_id: str
    name: str
    graph: dict[str, Any]
    trigger_configs: tuple[TriggerConfig, ...]
    version: int
    edition: int
    concurrency: Any = None
    adopt_newest: bool
    paused: bool
    disabled_reason: str | None
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """Changes with every edit; opaque to callers."""
        return f'"{self.edition}"'


def canonical(value: Mapping[str, Any]) -> bytes:
    """JSON text that is the same for equal values, whatever order their keys came in."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Mapping[str, Any]) -> bytes:
    """SHA-256 of the canonical form: the key of a graph, and what tells one request body from another."""
    return hashlib.sha256(canonical(value)).digest()


def check_workflow(experiment_id: str, name: str, graph: Mapping[str, Any], faults: Violations) -> None:
    """Note what is wrong with a new workflow, its graph's inner rules excepted: those are the runner's."""
    problem = limits.id_problem(experiment_id)
    if problem is not None:
        faults.add("experiment_id", problem)
    check_name(name, faults)
    check_graph(graph, faults)


def check_name(name: str, faults: Violations, field: str = "name") -> None:
    """Note what is wrong with a workflow's name."""
    if not name.strip():
        faults.add(field, "must not be empty")
    elif len(name) > limits.MAX_NAME_CHARACTERS:
        faults.add(field, f"must not be longer than {limits.MAX_NAME_CHARACTERS} characters")


def check_graph(graph: Mapping[str, Any], faults: Violations, field: str = "graph") -> bool:
    """Note what is wrong with a graph, its inner rules excepted: those are the runner's. True when nothing is."""
    if not graph.get("nodes"):
        faults.add(f"{field}.nodes", "must not be empty")
        return False
    if len(canonical(graph)) > limits.MAX_GRAPH_BYTES:
        faults.add(field, f"must not be larger than {limits.MAX_GRAPH_BYTES} bytes as JSON")
        return False
    return True
