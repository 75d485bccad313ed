"""What goes into one message to the runner, and what its refusal of a job event means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog

from trigger_service.domain.concurrency import OnConflict
from trigger_service.domain.deliveries import Delivery, Told
from trigger_service.domain.dispatch import Lease
from trigger_service.rpc.convert.events import delivery_to_message
from trigger_service.rpc.convert.graphs import graph_from_json
from wakepoint.chassis.protojson import python_to_struct
from wakepoint.runner.v1 import runner_pb2 as runner
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.trigger.v1.trigger_pb2 import JobEvent
from wakepoint.workflow.v1 import execution_pb2 as execution
from wakepoint.workflow.v1.graph_pb2 import Graph

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
MAX_REQUESTS = 1_000
MAX_EVENTS = 1_000

_ON_CONFLICT = {"": execution.ON_CONFLICT_UNSPECIFIED} | {
    choice.value: execution.OnConflict.Value(f"ON_CONFLICT_{choice}") for choice in OnConflict
}

_FOR_GOOD = {
    code.value[0]
    for code in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.OUT_OF_RANGE,
    )
}

_log = structlog.stdlib.get_logger(__name__)


def delivery_parcels(events: Sequence[Delivery]) -> Iterator[list[JobEvent]]:
    """The events as messages, in parcels that fit into one call."""
    parcel: list[JobEvent] = []
    size = 0
    for event in events:
        message = delivery_to_message(event)
        added = message.ByteSize() + 16
        if parcel and (size + added > MAX_MESSAGE_BYTES or len(parcel) >= MAX_EVENTS):
            yield parcel
            parcel, size = [], 0
        parcel.append(message)
        size += added
    if parcel:
        yield parcel


def refusal_of(event: JobEvent, code: int, text: str) -> Told:
    """What the refusal of a single event means for it."""
    if code in _FOR_GOOD:
        _log.error("the runner refuses a job event for good", event_id=event.event_id, error=text)
        return Told.REFUSED
    return Told.FAILED


@dataclass(slots=True)
class Parcel:
    """What goes into one message."""

    graphs: dict[str, Graph] = field(default_factory=dict)
    requests: list[calls.StartRunRequest] = field(default_factory=list)
    size: int = 0

    def takes(self, request: calls.StartRunRequest, graph: Graph) -> bool:
        """Add the request if it fits; anything fits into an empty parcel."""
        added = request.ByteSize() + (0 if request.graph_hash in self.graphs else graph.ByteSize()) + 128
        if self.requests and (self.size + added > MAX_MESSAGE_BYTES or len(self.requests) >= MAX_REQUESTS):
            return False
        self.graphs[request.graph_hash] = graph
        self.requests.append(request)
        self.size += added
        return True

    def halves(self) -> tuple[Parcel, Parcel]:
        """The same in two messages."""
        middle = len(self.requests) // 2
        return self._part(self.requests[:middle]), self._part(self.requests[middle:])

    def _part(self, requests: list[calls.StartRunRequest]) -> Parcel:
        return Parcel({item.graph_hash: self.graphs[item.graph_hash] for item in requests}, requests)


def run_parcels(leases: Sequence[Lease], graphs: Mapping[str, dict[str, Any]]) -> Iterator[Parcel]:
    """The firings as requests, in parcels that fit into one call; `graphs` by their hash in hex."""
    messages = {graph_hash: graph_from_json(graph) for graph_hash, graph in graphs.items()}
    parcel = Parcel()
    for lease in leases:
        request = _request(lease)
        if not parcel.takes(request, messages[lease.graph_hash]):
            yield parcel
            parcel = Parcel()
            parcel.takes(request, messages[lease.graph_hash])
    if parcel.requests:
        yield parcel


def _request(lease: Lease) -> calls.StartRunRequest:
    return calls.StartRunRequest(
        request_id=str(lease.firing_id),
        workflow_id=str(lease.workflow_id),
        experiment_id=lease.experiment_id,
        graph_hash=lease.graph_hash,
        input=python_to_struct(lease.run_input, "input"),
        source=runner.RunSource(
            firing_id=str(lease.firing_id),
            event_id=lease.event_id,
            trigger_type=lease.trigger_type,
            depth=lease.depth,
        ),
        concurrency_key=lease.concurrency_key,
        on_conflict=_ON_CONFLICT[lease.on_conflict],
    )
