"""Job events on their way to the runner: what goes into one message, and what a refusal means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grpc
import structlog

from trigger_service.domain.deliveries import Delivery, Told
from trigger_service.rpc.convert.events import delivery_to_message
from wakepoint.trigger.v1.trigger_pb2 import JobEvent

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
MAX_EVENTS = 1_000

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
