"""A workflow's graph as the runner executes it."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_OUTPUT = "output"
DEFAULT_INPUT = "input"
MAX_ATTEMPTS = 1000


class RetryPolicy(BaseModel):
    """How often a failing node is tried; waits double from `initial_backoff_seconds` up to `max_backoff_seconds`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_attempts: int = Field(default=1, ge=1, le=MAX_ATTEMPTS)
    initial_backoff_seconds: float = Field(default=1.0, ge=0)
    max_backoff_seconds: float = Field(default=60.0, ge=0)


class GraphNode(BaseModel):
    """A node: `type` names a node type, `properties` are its settings, `timeout_seconds` bounds one attempt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    type: str
    properties: dict[str, Any] = Field(default_factory=dict)
    timeout_seconds: float | None = Field(default=None, gt=0)
    retry: RetryPolicy = RetryPolicy()


class Edge(BaseModel):
    """What `source` gives out at `source_output` goes in at `target_input` of `target`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    source_output: str = DEFAULT_OUTPUT
    target: str
    target_input: str = DEFAULT_INPUT


class Graph(BaseModel):
    """Nodes and edges. Equal graphs have equal hashes, whatever the order of keys in their properties."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[Edge, ...] = ()

    def canonical(self) -> str:
        """The JSON text the hash is taken of."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def content_hash(self) -> bytes:
        """SHA-256 of the canonical JSON, 32 bytes."""
        return hashlib.sha256(self.canonical().encode()).digest()
