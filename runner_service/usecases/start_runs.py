"""StartRun, single and in batches: each request starts one run, however often and however concurrently it is sent."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runner_service.domain.graph import Graph
from runner_service.domain.history import run_created, run_queued
from runner_service.domain.node_types import NodeTypes
from runner_service.domain.runs import Run
from runner_service.storage import runs
from runner_service.usecases.signals import Signals
from runner_service.usecases.validate_graph import check_graph
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import AlreadyExists, FieldViolation, InvalidArgument, Violations, WakepointError
from wakepoint.chassis.ids import new_id
from wakepoint.chassis.protojson import check_text

MAX_ID_BYTES = 200
"""Ids stand in the keys of indexes, several in one."""


class StartDisposition(StrEnum):
    CREATED = "CREATED"
    DUPLICATE = "DUPLICATE"


@dataclass(frozen=True, slots=True)
class StartRequest:
    """`graph` or, in a batch, the `graph_hash` under which the batch has it. An empty request_id is never a duplicate.

    `faults`: what was found wrong while the request was read; the caller is told all of it at once.
    """

    workflow_id: str
    experiment_id: str
    graph: Mapping[str, Any] | None = None
    graph_hash: str = ""
    request_id: str = ""
    input: Any = None
    source: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[FieldViolation, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """A run and whether this request created it."""

    run: Run
    disposition: StartDisposition


@dataclass(frozen=True, slots=True)
class _Prepared:
    request: StartRequest
    graph: "_Graph"
    run_id: str
    key: runs.StartRequest


@dataclass(frozen=True, slots=True)
class _Graph:
    """A graph, or what is wrong with it."""

    graph: Graph | None
    content_hash: bytes
    faults: list[FieldViolation]

    @classmethod
    def of(cls, given: Mapping[str, Any] | None, types: NodeTypes) -> "_Graph":
        if given is None:
            fault = FieldViolation("graph", "must be set, or graph_hash be a key of the batch's graphs")
            return cls(None, b"", [fault])
        graph, faults = check_graph(given, types)
        return cls(graph, graph.content_hash() if graph and not faults else b"", faults)


StartResult = Started | WakepointError


async def start_runs(
    database: Database,
    signals: Signals,
    types: NodeTypes,
    requests: Sequence[StartRequest],
    graphs: Mapping[str, Mapping[str, Any]],
) -> list[StartResult]:
    """Start the runs in one transaction; results in order, one failing alone."""
    shared = {key: _Graph.of(graphs.get(key), types) for key in {r.graph_hash for r in requests if r.graph is None}}
    outcome: list[StartResult | _Prepared] = [
        _prepare(request, shared[request.graph_hash] if request.graph is None else _Graph.of(request.graph, types))
        for request in requests
    ]
    prepared = [item for item in outcome if isinstance(item, _Prepared)]
    done = await database.run(lambda connection: _start(connection, prepared)) if prepared else {}
    failpoints.hit("runner.start.after_commit")
    if any(isinstance(r, Started) and r.disposition is StartDisposition.CREATED for r in done.values()):
        signals.runs_ready()
    return [done[item.run_id] if isinstance(item, _Prepared) else item for item in outcome]


async def start_run(database: Database, signals: Signals, types: NodeTypes, request: StartRequest) -> Started:
    """Start one run. Raises InvalidArgument, AlreadyExists."""
    (result,) = await start_runs(database, signals, types, [request], {})
    if isinstance(result, WakepointError):
        raise result
    return result


def _prepare(request: StartRequest, graph: _Graph) -> _Prepared | InvalidArgument:
    violations = Violations()
    violations.extend(request.faults)
    _check(request, violations)
    violations.extend(graph.faults)
    if len(violations):
        # Reading a graph and checking it may find the same fault.
        found = dict.fromkeys(violations)
        return InvalidArgument.from_violations(found, reason="INVALID_GRAPH" if graph.faults else "")
    run_id = new_id()
    key = runs.StartRequest(request.experiment_id, request.request_id, _body_hash(request, graph), run_id)
    return _Prepared(request, graph, run_id, key)


def _check(request: StartRequest, violations: Violations) -> None:
    for name in ("workflow_id", "experiment_id"):
        if not getattr(request, name):
            violations.add(name, "must not be empty")
    for name in ("workflow_id", "experiment_id", "request_id"):
        if len(getattr(request, name).encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
            violations.add(name, f"must have at most {MAX_ID_BYTES} bytes")
        check_text(getattr(request, name), name, violations)
    check_text(request.input, "input", violations)
    check_text(dict(request.source), "source", violations)


def _body_hash(request: StartRequest, graph: _Graph) -> bytes:
    """What makes two requests with one request_id the same."""
    body = [request.workflow_id, graph.content_hash.hex(), request.input, dict(request.source)]
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()


async def _start(connection: Connection, prepared: Sequence[_Prepared]) -> dict[str, StartResult]:
    graphs = {item.graph.content_hash: item.graph for item in prepared}
    await runs.insert_graphs(connection, [_new_graph(graph) for graph in graphs.values()])
    keyed = [item for item in prepared if item.request.request_id]
    fresh = await runs.insert_start_requests(connection, [item.key for item in keyed])
    # A statement of its own: it sees what a concurrent duplicate has committed while the insert waited for it.
    repeats = [item for item in keyed if item.run_id not in fresh]
    known = await runs.get_start_requests(connection, [item.key for item in repeats]) if repeats else {}
    created = [item for item in prepared if not item.request.request_id or item.run_id in fresh]
    await runs.insert_runs(connection, [_new_run(item) for item in created])
    failpoints.hit("runner.start.before_commit")
    earlier = {item.run_id: known[item.request.experiment_id, item.request.request_id] for item in repeats}
    stored = await runs.get_runs(
        connection, [*(item.run_id for item in created), *(key.run_id for key in earlier.values())]
    )
    results: dict[str, StartResult] = {
        item.run_id: Started(stored[item.run_id], StartDisposition.CREATED) for item in created
    }
    return results | {item.run_id: _repeated(item, earlier[item.run_id], stored) for item in repeats}


def _repeated(item: _Prepared, key: runs.StartRequest, stored: Mapping[str, Run]) -> StartResult:
    if key.body_hash != item.key.body_hash:
        return AlreadyExists(
            f"request_id {item.request.request_id} was used before for something else",
            reason="REQUEST_ID_REUSED",
            request_id=item.request.request_id,
        )
    return Started(stored[key.run_id], StartDisposition.DUPLICATE)


def _new_graph(checked: _Graph) -> runs.NewGraph:
    assert checked.graph is not None, "only sound graphs are started"
    node_ids = [node.id for node in checked.graph.nodes]
    return runs.NewGraph(checked.content_hash, checked.graph.model_dump(mode="json"), node_ids)


def _new_run(item: _Prepared) -> runs.NewRun:
    request = item.request
    lines = [run_created(item.graph.content_hash, request.input, request.source), run_queued("created")]
    return runs.NewRun(
        run_id=item.run_id,
        experiment_id=request.experiment_id,
        workflow_id=request.workflow_id,
        graph_hash=item.graph.content_hash,
        input=request.input,
        source=request.source,
        lines=lines,
    )
