"""Requests to start runs, and what became of them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from runner_service.domain.overlap import OnConflict
from runner_service.rpc.convert.graphs import graph_of
from runner_service.rpc.convert.requests import read_or
from runner_service.rpc.convert.runs import run_to_message
from runner_service.usecases.start_runs import StartDisposition, Started, StartRequest, StartResult
from wakepoint.chassis.errors import FieldViolation, WakepointError
from wakepoint.chassis.protojson import struct_to_python, timestamp_to_datetime
from wakepoint.chassis.status import to_status
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.workflow.v1 import execution_pb2 as execution

DISPOSITIONS = {
    StartDisposition.CREATED: messages.START_RUN_DISPOSITION_CREATED,
    StartDisposition.DUPLICATE: messages.START_RUN_DISPOSITION_DUPLICATE,
    StartDisposition.QUEUED_BEHIND: messages.START_RUN_DISPOSITION_QUEUED_BEHIND,
    StartDisposition.SKIPPED: messages.START_RUN_DISPOSITION_SKIPPED,
}

_ON_CONFLICT: dict[int, OnConflict] = {
    execution.ON_CONFLICT_UNSPECIFIED: OnConflict.ALLOW,
    execution.ON_CONFLICT_ALLOW: OnConflict.ALLOW,
    execution.ON_CONFLICT_QUEUE: OnConflict.QUEUE,
    execution.ON_CONFLICT_SKIP: OnConflict.SKIP,
    execution.ON_CONFLICT_CANCEL_PREVIOUS: OnConflict.CANCEL_PREVIOUS,
}

ReadGraph = tuple[dict[str, Any], list[FieldViolation]]


def start_request_of(message: calls.StartRunRequest) -> StartRequest:
    """A request that stands alone."""
    faults = [FieldViolation("graph_hash", "is for batches only")] if message.graph_hash else []
    return _request(message, {}, faults)


def batch_of(message: calls.BatchStartRunsRequest) -> tuple[list[StartRequest], dict[str, Mapping[str, Any]]]:
    """The requests of a batch, and the graphs that they name by the sender's hashes. Each graph is read once."""
    named = {request.graph_hash for request in message.requests if not request.HasField("graph")}
    graphs = {key: graph_of(graph) for key, graph in message.graphs.items() if key in named}
    requests = []
    for request in message.requests:
        both = request.graph_hash and request.HasField("graph")
        faults = [FieldViolation("graph_hash", "must not be set beside graph")] if both else []
        requests.append(_request(request, graphs, faults))
    return requests, {key: graph for key, (graph, _) in graphs.items()}


def started_to_message(started: Started) -> calls.StartRunResponse:
    """What became of one request."""
    return calls.StartRunResponse(run=_run_of(started), disposition=DISPOSITIONS[started.disposition])


def results_to_message(results: Iterable[StartResult]) -> calls.BatchStartRunsResponse:
    """What became of each request of a batch, in order."""
    return calls.BatchStartRunsResponse(results=[_result(result) for result in results])


def _result(result: StartResult) -> calls.BatchStartRunsResult:
    if isinstance(result, WakepointError):
        return calls.BatchStartRunsResult(error=to_status(result))
    return calls.BatchStartRunsResult(run=_run_of(result), disposition=DISPOSITIONS[result.disposition])


def _run_of(started: Started) -> messages.Run | None:
    return None if started.found is None else run_to_message(started.found)


def _request(
    message: calls.StartRunRequest, graphs: Mapping[str, ReadGraph], faults: list[FieldViolation]
) -> StartRequest:
    graph: dict[str, Any] | None = None
    if message.HasField("graph"):
        graph, unreadable = graph_of(message.graph)
        faults.extend(unreadable)
    elif message.graph_hash in graphs:
        faults.extend(graphs[message.graph_hash][1])
    none: dict[str, object] = {}
    return StartRequest(
        workflow_id=message.workflow_id,
        experiment_id=message.experiment_id,
        graph=graph,
        graph_hash=message.graph_hash,
        request_id=message.request_id,
        input=read_or(none, lambda: struct_to_python(message.input, "input"), faults),
        source=_source(message.source, faults),
        concurrency_key=message.concurrency_key,
        on_conflict=_on_conflict(message, faults),
        deadline=_deadline(message, faults),
        faults=tuple(faults),
    )


def _on_conflict(message: calls.StartRunRequest, faults: list[FieldViolation]) -> OnConflict:
    known = _ON_CONFLICT.get(message.on_conflict)
    if known is None:
        faults.append(FieldViolation("on_conflict", f"{message.on_conflict} is not known"))
    return known or OnConflict.ALLOW


def _deadline(message: calls.StartRunRequest, faults: list[FieldViolation]) -> datetime | None:
    if not message.HasField("deadline"):
        return None
    return read_or(None, lambda: timestamp_to_datetime(message.deadline, "deadline"), faults)


def _source(source: messages.RunSource, faults: list[FieldViolation]) -> dict[str, Any]:
    """What is said of the source, and nothing else: by its firing_id one can tell that a firing made the run."""
    if source.depth < 0:
        faults.append(FieldViolation("source.depth", "must not be negative"))
    return {field.name: value for field, value in source.ListFields()}
