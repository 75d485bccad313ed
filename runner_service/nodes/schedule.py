import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator

from runner_service.nodes.slot_trigger import SlotTrigger
from runner_service.nodes.slots import MissedPolicy, Slots

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_MAX_JITTER_SECONDS = 86_400
_CHANGE_OF_CLOCKS = timedelta(hours=3)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CronSlots:
    """A cron expression in a time zone. `seed` makes the jitter of a slot its own and always the same."""

    cron: str
    zone: ZoneInfo
    jitter: timedelta
    seed: str

    def after(self, moment: datetime) -> Iterator[datetime]:
        """See Slots. Where clocks jump, the library can repeat a moment or fall behind it; both are left out."""
        last = moment
        for local in CronSim(self.cron, moment.astimezone(self.zone)):
            slot = local.astimezone(UTC)
            if slot > last:
                yield slot
                last = slot

    def latest(self, moment: datetime) -> datetime | None:
        """See Slots. The library's way back stumbles where clocks change, so the last stretch is walked forward."""
        begin = (moment - _CHANGE_OF_CLOCKS).astimezone(self.zone)
        known = next((local.astimezone(UTC) for local in CronSim(self.cron, begin, reverse=True)), begin)
        return max(takewhile(lambda slot: slot <= moment, self.after(known - _INSTANT)), default=None)

    def delay(self, slot: datetime) -> timedelta:
        """See Slots."""
        digest = hashlib.sha256(f"{self.seed}:{slot.isoformat()}".encode()).digest()
        return self.jitter * (int.from_bytes(digest[:8]) / 2**64)


class Schedule(SlotTrigger):
    """Fires at the times of a cron expression: five fields, or six with seconds first.

    Where clocks go forward, a time that does not exist fires when they have; where they go back, a time that comes
    twice fires the first time only, and jobs that run every hour or more often keep their rhythm. A slot that fires
    more than a minute late, or whose successor is due as well, was missed: it is told in the log and treated as
    `missed` says. An event from outside counts as an early passage and leaves the slots as they are. With
    `max_events: 0` it never ends.
    """

    cron: str = Field(max_length=200)
    """Minute, hour, day of the month, month, day of the week; for example `30 7 * * MON-FRI`."""
    time_zone: str = Field(default="UTC", max_length=100)
    """An IANA name, for example `Europe/Berlin`."""
    jitter_seconds: float = Field(default=0, ge=0, le=_MAX_JITTER_SECONDS)
    """Fire up to so many seconds after the slot; each run and slot has a span of its own, so that loads spread."""
    missed: MissedPolicy = "once"
    """`once` fires one time for all slots that were missed, `all` one time for each, `skip` not at all."""

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone is called {name!r}") from None
        return name

    @field_validator("cron")
    @classmethod
    def _cron_means_something(cls, cron: str) -> str:
        try:
            found = next(CronSim(cron, _BEGINNING), None)
        except CronSimError as error:
            raise ValueError(f"not a cron expression: {error}") from None
        if found is None:
            raise ValueError("not a cron expression: it never comes true")
        return cron

    def slots(self, anchor: datetime) -> Slots:
        """See SlotTrigger."""
        seed = f"{self.context.run.run_id}:{self.id}"
        return CronSlots(self.cron, ZoneInfo(self.time_zone), timedelta(seconds=self.jitter_seconds), seed)

    def before_first(self, anchor: datetime) -> datetime:
        """See SlotTrigger; slots come after it."""
        return anchor

    def missed_policy(self) -> MissedPolicy:
        """As its property says."""
        return self.missed
