from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from pydantic import Field

from runner_service.nodes.slot_trigger import SlotTrigger
from runner_service.nodes.slots import Slots

_CENTURY_SECONDS = 3_155_760_000
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class EverySoOften:
    """`first`, then one slot every `interval`; before them `anchor`, if the trigger fires at once."""

    anchor: datetime
    first: datetime
    interval: timedelta
    at_once: bool

    def after(self, moment: datetime) -> Iterator[datetime]:
        """See Slots."""
        if self.at_once and moment < self.anchor < self.first:
            yield self.anchor
        start = 0 if moment < self.first else (moment - self.first) // self.interval + 1
        for number in count(start):
            yield self.first + number * self.interval

    def latest(self, moment: datetime) -> datetime | None:
        """See Slots."""
        if moment >= self.first:
            return self.first + (moment - self.first) // self.interval * self.interval
        return self.anchor if self.at_once and moment >= self.anchor else None

    def delay(self, slot: datetime) -> timedelta:
        """See Slots; none."""
        return timedelta(0)


class Interval(SlotTrigger):
    """Fires again and again at a fixed distance, however long the work behind it takes.

    The distance is counted from the run's creation, or from when the nodes before it let it begin, so that times never
    drift. Slots that passed while nothing could fire are told in the log and fire once, for the latest of them. An
    event from outside counts as an early passage and leaves the slots as they are. With `max_events: 0` it never ends.
    """

    interval_seconds: float = Field(default=60, ge=0.001, le=_CENTURY_SECONDS)
    """Seconds between two slots."""
    initial_delay_seconds: float | None = Field(default=None, ge=0, le=_CENTURY_SECONDS)
    """Seconds before the first slot; the interval unless given."""
    emit_on_start: bool = False
    """Fire once at the very beginning as well."""

    def slots(self, anchor: datetime) -> Slots:
        """See SlotTrigger."""
        delay = self.interval_seconds if self.initial_delay_seconds is None else self.initial_delay_seconds
        return EverySoOften(
            anchor, anchor + timedelta(seconds=delay), timedelta(seconds=self.interval_seconds), self.emit_on_start
        )

    def before_first(self, anchor: datetime) -> datetime:
        """See SlotTrigger; the anchor itself may be a slot."""
        return anchor - _INSTANT

    def about(self) -> dict[str, Any]:
        """The interval."""
        return {"interval_seconds": self.interval_seconds}
