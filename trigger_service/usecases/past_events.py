"""Walking through past events in batches, within a bound."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from trigger_service.domain.explaining import PastEvent
from trigger_service.storage import explanations
from trigger_service.storage.explanations import Place, Stretch
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import InvalidArgument

MAX_EVENTS = 5_000
"""So many events may be tried in one call."""
_AT_ONCE = 1_000


def check_range(start: datetime | None, end: datetime | None) -> datetime:
    """The start of a range of time. InvalidArgument when there is none, or when the range ends before it starts."""
    if start is None:
        raise InvalidArgument.of("start_time", "must not be empty")
    if end is not None and end < start:
        raise InvalidArgument.of("end_time", "must not be before start_time")
    return start


async def walk(connection: Connection, stretches: Iterable[Stretch]) -> AsyncIterator[list[PastEvent]]:
    """Batches of each stretch's events, oldest first. InvalidArgument beyond MAX_EVENTS."""
    seen = 0
    for stretch in stretches:
        after: Place | None = None
        while True:
            batch = await explanations.events_between(connection, stretch, after, _AT_ONCE)
            seen += len(batch)
            if seen > MAX_EVENTS:
                raise InvalidArgument.of(
                    "end_time",
                    f"the range holds more than {MAX_EVENTS} events that could fire: make it shorter",
                    reason="TOO_MANY_EVENTS",
                )
            if batch:
                yield batch
            if len(batch) < _AT_ONCE:
                break
            after = (batch[-1].create_time, batch[-1].event_key)
