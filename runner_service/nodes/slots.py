"""The times at which a trigger fires by itself, and what becomes of those that passed while nothing could fire."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any, Literal, Protocol

MissedPolicy = Literal["once", "skip", "all"]

MISSED_AFTER = timedelta(seconds=60)
"""A slot that fires later than this was missed: well above the time a takeover by another replica needs."""

MAX_LINES = 100
"""How many missed slots are told one by one; those beyond are told as one span."""

_INSTANT = timedelta(microseconds=1)


class Slots(Protocol):
    """An ascending sequence of aware UTC times."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The slots after `moment`; may end."""
        ...

    def latest(self, moment: datetime) -> datetime | None:
        """The last slot at or before `moment`."""
        ...

    def delay(self, slot: datetime) -> timedelta:
        """How long after its slot the trigger fires; always the same for the same slot."""
        ...


@dataclass(frozen=True, slots=True)
class Reckoning:
    """`target` is the slot to fire, or to wait for; None: none will ever come. It fires at `wake_time`.

    `missed` holds what the log is to be told. `given_up`: the last slot that will never fire, if the policy drops any.
    """

    target: datetime | None
    wake_time: datetime | None
    missed: tuple[dict[str, Any], ...] = ()
    given_up: datetime | None = None


def reckon(slots: Slots, cursor: datetime, now: datetime, policy: MissedPolicy) -> Reckoning:
    """What follows for a trigger that has dealt with every slot up to `cursor`."""
    passed = takewhile(lambda slot: slot + slots.delay(slot) <= now, slots.after(cursor))
    due = list(islice(passed, MAX_LINES + 1))
    if not due:
        return _waiting_for(slots, cursor)
    if policy == "all":
        first = due[0]
        missed = _lines([first], policy) if _is_late(slots, first, now) else ()
        return Reckoning(first, first + slots.delay(first), missed)
    last = due[-1] if len(due) <= MAX_LINES else max(due[-1], slots.latest(now) or due[-1])
    late = _is_late(slots, last, now)
    missed = _lines([slot for slot in due if late or slot < last], policy)
    if len(due) > MAX_LINES and (until := last if late else slots.latest(last - _INSTANT)) is not None:
        span = {"from": due[MAX_LINES].isoformat(), "until": until.isoformat(), "policy": policy}
        missed = (*missed, span) if until >= due[MAX_LINES] else missed
    if policy == "once" or not late:
        return Reckoning(last, last + slots.delay(last), missed)
    upcoming = _waiting_for(slots, last)
    return Reckoning(upcoming.target, upcoming.wake_time, missed, given_up=last)


def _waiting_for(slots: Slots, cursor: datetime) -> Reckoning:
    target = next(slots.after(cursor), None)
    return Reckoning(target, None if target is None else target + slots.delay(target))


def _is_late(slots: Slots, slot: datetime, now: datetime) -> bool:
    return now - slot - slots.delay(slot) > MISSED_AFTER


def _lines(missed: list[datetime], policy: MissedPolicy) -> tuple[dict[str, Any], ...]:
    return tuple({"scheduled_time": slot.isoformat(), "policy": policy} for slot in missed[:MAX_LINES])
