"""StartRun, single and in batches: each request starts one run, however often and however concurrently it is sent."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from runner_service.domain.graph import Graph
from runner_service.domain.history import run_created, run_queued
from runner_service.domain.node_types import NodeTypes
from runner_service.domain.overlap import OnConflict
from runner_service.domain.runs import Run
from runner_service.storage import overlap, runs
from runner_service.storage.overlap import Key
from runner_service.usecases.admissions import Admitted, Applicant, admit_runs, cancel_previous
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
    QUEUED_BEHIND = "QUEUED_BEHIND"
    SKIPPED = "SKIPPED"


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
    concurrency_key: str = ""
    on_conflict: OnConflict = OnConflict.ALLOW
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A run and whether this request created it; `found` is None if it was skipped."""

    found: Run | None
    disposition: StartDisposition

    @property
    def run(self) -> Run:
        """The run of a request that was not skipped."""
        assert self.found is not None, "a skipped request has no run"
        return self.found


@dataclass(frozen=True, slots=True)
class _Prepared:
    request: StartRequest
    graph: "_Graph"
    run_id: str
    key: runs.StartRequest

    @property
    def applicant(self) -> Applicant:
        """The run among those with its concurrency key."""
        request = self.request
        key = Key(request.experiment_id, request.workflow_id, request.concurrency_key)
        return Applicant(self.run_id, key, request.on_conflict)


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
    done, cancelled = await database.run(lambda connection: _start(connection, prepared)) if prepared else ({}, [])
    failpoints.hit("runner.start.after_commit")
    if any(isinstance(r, Started) and r.disposition is StartDisposition.CREATED for r in done.values()):
        signals.runs_ready()
    for run_id in cancelled:
        signals.run_cancelled(run_id)
        signals.log_grew(run_id)
    if cancelled:
        signals.outbox_grew()
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
    if request.on_conflict is not OnConflict.ALLOW and not request.concurrency_key:
        violations.add("on_conflict", f"{request.on_conflict} needs a concurrency_key")
    for name in ("workflow_id", "experiment_id", "request_id", "concurrency_key"):
        if len(getattr(request, name).encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
            violations.add(name, f"must have at most {MAX_ID_BYTES} bytes")
        check_text(getattr(request, name), name, violations)
    check_text(request.input, "input", violations)
    check_text(dict(request.source), "source", violations)


def _body_hash(request: StartRequest, graph: _Graph) -> bytes:
    """What makes two requests with one request_id the same."""
    body = [request.workflow_id, graph.content_hash.hex(), request.input, dict(request.source)]
    if request.concurrency_key:
        body += [request.concurrency_key, request.on_conflict]
    if request.deadline is not None:
        body.append(request.deadline.isoformat())
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()


async def _start(connection: Connection, prepared: Sequence[_Prepared]) -> tuple[dict[str, StartResult], list[str]]:
    """The results by the run ids that were meant, and the runs that were cancelled for new ones."""
    graphs = {item.graph.content_hash: item.graph for item in prepared}
    await runs.insert_graphs(connection, [_new_graph(graph) for graph in graphs.values()])
    keyed = [item for item in prepared if item.request.request_id]
    fresh = await runs.insert_start_requests(connection, [item.key for item in keyed])
    new = [item for item in prepared if not item.request.request_id or item.run_id in fresh]
    admitted = await admit_runs(connection, [item.applicant for item in new if item.request.concurrency_key])
    skipped = [item for item in new if item.run_id in admitted and admitted[item.run_id].admission.skipped]
    if remembered := [(i.request.experiment_id, i.request.request_id) for i in skipped if i.request.request_id]:
        await overlap.mark_skipped(connection, remembered)
    created = [item for item in new if item not in skipped]
    await runs.insert_runs(connection, [_new_run(item, admitted.get(item.run_id)) for item in created])
    cancelled = await cancel_previous(connection, admitted)
    failpoints.hit("runner.start.before_commit")
    results: dict[str, StartResult] = {item.run_id: Started(None, StartDisposition.SKIPPED) for item in skipped}
    results |= await _created(connection, created, admitted)
    return results | await _repeated(connection, [item for item in keyed if item.run_id not in fresh]), cancelled


async def _created(
    connection: Connection, created: Sequence[_Prepared], admitted: Mapping[str, Admitted]
) -> dict[str, StartResult]:
    stored = await runs.get_runs(connection, [item.run_id for item in created])
    behind = {run_id for run_id, one in admitted.items() if one.admission.behind}
    return {
        run_id: Started(run, StartDisposition.QUEUED_BEHIND if run_id in behind else StartDisposition.CREATED)
        for run_id, run in stored.items()
    }


async def _repeated(connection: Connection, repeats: Sequence[_Prepared]) -> dict[str, StartResult]:
    """What is answered to requests that came before. Read in a statement of its own: it sees what a concurrent
    duplicate has committed while the insert waited for it.
    """
    if not repeats:
        return {}
    known = await runs.get_start_requests(connection, [item.key for item in repeats])
    earlier = {item.run_id: known[item.request.experiment_id, item.request.request_id] for item in repeats}
    stored = await runs.get_runs(connection, [key.run_id for key in earlier.values() if not key.skipped])
    return {item.run_id: _repetition(item, earlier[item.run_id], stored) for item in repeats}


def _repetition(item: _Prepared, key: runs.StartRequest, stored: Mapping[str, Run]) -> StartResult:
    if key.body_hash != item.key.body_hash:
        return AlreadyExists(
            f"request_id {item.request.request_id} was used before for something else",
            reason="REQUEST_ID_REUSED",
            request_id=item.request.request_id,
        )
    if key.skipped:
        return Started(None, StartDisposition.SKIPPED)
    return Started(stored[key.run_id], StartDisposition.DUPLICATE)


def _new_graph(checked: _Graph) -> runs.NewGraph:
    assert checked.graph is not None, "only sound graphs are started"
    node_ids = [node.id for node in checked.graph.nodes]
    return runs.NewGraph(checked.content_hash, checked.graph.model_dump(mode="json"), node_ids)


def _new_run(item: _Prepared, admitted: Admitted | None) -> runs.NewRun:
    request = item.request
    behind = admitted is not None and admitted.admission.behind
    created = run_created(item.graph.content_hash, request.input, request.source)
    return runs.NewRun(
        run_id=item.run_id,
        experiment_id=request.experiment_id,
        workflow_id=request.workflow_id,
        graph_hash=item.graph.content_hash,
        input=request.input,
        source=request.source,
        lines=[created, run_queued("behind others with its concurrency key" if behind else "created")],
        concurrency_key=request.concurrency_key or None,
        turn=None if admitted is None else admitted.turn,
        behind=behind,
        deadline=request.deadline,
    )
