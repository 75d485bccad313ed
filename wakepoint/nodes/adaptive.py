"""How long to wait in memory, from how long the events before were apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

REMEMBERED = 20
ENOUGH = 3
SHORTEST_SECONDS = 10.0
LONGEST_SECONDS = 3600.0
_MARGIN = 1.5


@dataclass(frozen=True, slots=True)
class Chosen:
    """A timeout in seconds, and why it is that."""

    seconds: float
    reason: str


def choose_timeout(intervals: Sequence[float], usual: float) -> Chosen:
    """The timeout after events that were so many seconds apart; `usual` while too few were seen.

    Long enough that nine of ten such intervals pass in memory; where that is longer than an hour, waiting in memory is
    not worth it and the shortest timeout is chosen.
    """
    if len(intervals) < ENOUGH:
        return Chosen(usual, f"only {len(intervals)} intervals seen")
    known = sorted(intervals)
    expected = known[min(int(0.9 * len(known)), len(known) - 1)]
    seen = f"nine of ten of the last {len(known)} intervals took at most {expected:.3g}s"
    if expected * _MARGIN > LONGEST_SECONDS:
        return Chosen(SHORTEST_SECONDS, f"{seen}: too long to wait in memory")
    return Chosen(max(SHORTEST_SECONDS, expected * _MARGIN), seen)


@dataclass(slots=True)
class Rhythm:
    """When the last event came, and how many seconds the ones before it were apart, the newest last."""

    last: datetime | None
    intervals: list[float]

    @classmethod
    def of(cls, kept: Any) -> "Rhythm":
        """What `as_mapping` made."""
        if not isinstance(kept, dict):
            return cls(None, [])
        return cls(datetime.fromisoformat(kept["last"]) if kept.get("last") else None, list(kept["intervals"]))

    def event_came(self, moment: datetime) -> None:
        """Remember an event."""
        if self.last is not None:
            self.intervals = [*self.intervals, max(0.0, (moment - self.last).total_seconds())][-REMEMBERED:]
        self.last = moment

    def as_mapping(self) -> dict[str, Any]:
        """As JSON."""
        return {"last": None if self.last is None else self.last.isoformat(), "intervals": self.intervals}
