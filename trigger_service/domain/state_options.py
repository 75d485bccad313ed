"""Checking the options of a trigger config that need state at the match."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from trigger_service.domain.configs import Debounce, RateLimit, WhilePaused
from trigger_service.domain.spans import LONGEST, span_of
from wakepoint.chassis.errors import Violations

_LARGEST_COUNT = 2**31 - 1
_NOTHING = timedelta(0)
_ENUM_PREFIX = "WHILE_PAUSED_"


class StateOptions:
    """Reads these options of one item; a faulty one is noted and read as not given."""

    def __init__(self, item: Mapping[str, object], at: str, faults: Violations) -> None:
        self._item, self._at, self._faults = item, at, faults

    def delay(self) -> timedelta | None:
        """How long a match is held; None: not at all."""
        span = self._span(self._item, "delay", self._at)
        if span is not None and span < _NOTHING:
            self._faults.add(f"{self._at}.delay", "must not be negative")
            return None
        return span or None

    def debounce(self) -> Debounce | None:
        """How a burst is folded; None: each match fires."""
        group = self._group("debounce", {"quiet_period", "max_wait"})
        if group is None:
            return None
        at = f"{self._at}.debounce"
        quiet = self._positive(group, "quiet_period", at)
        longest = self._positive(group, "max_wait", at) if group.get("max_wait") is not None else None
        if quiet is None:
            return None
        if longest is not None and longest < quiet:
            self._faults.add(f"{at}.max_wait", "must not be shorter than quiet_period")
            return None
        return Debounce(quiet_period=quiet, max_wait=longest)

    def max_firings(self) -> int:
        """After how many firings the trigger fires no more; 0: never."""
        if self._item.get("max_firings") is None:
            return 0
        return self._count(self._item, "max_firings", self._at, 0)

    def rate_limit(self) -> RateLimit | None:
        """How many firings a window may hold; None: any number."""
        group = self._group("rate_limit", {"max_firings", "window"})
        if group is None:
            return None
        at = f"{self._at}.rate_limit"
        most, window = self._count(group, "max_firings", at, 1), self._positive(group, "window", at)
        return RateLimit(max_firings=most, window=window) if most and window else None

    def while_paused(self) -> WhilePaused | None:
        """What becomes of matches during a pause; None: what the pause says."""
        given = self._item.get("while_paused")
        if given is None or given == f"{_ENUM_PREFIX}UNSPECIFIED":
            return None
        try:
            return WhilePaused(str(given).removeprefix(_ENUM_PREFIX))
        except ValueError:
            self._faults.add(f"{self._at}.while_paused", f"must be one of {', '.join(WhilePaused)}")
            return None

    def _group(self, name: str, fields: set[str]) -> Mapping[str, object] | None:
        given = self._item.get(name)
        if given is None:
            return None
        if not isinstance(given, Mapping):
            self._faults.add(f"{self._at}.{name}", "must be a dictionary")
            return None
        for field in given:
            if field not in fields:
                self._faults.add(f"{self._at}.{name}.{field}", f"is not a field of {name}")
        return given

    def _positive(self, group: Mapping[str, object], name: str, at: str) -> timedelta | None:
        if group.get(name) is None:
            self._faults.add(f"{at}.{name}", "must be given")
            return None
        span = self._span(group, name, at)
        if span is not None and span <= _NOTHING:
            self._faults.add(f"{at}.{name}", "must be longer than nothing")
            return None
        return span

    def _span(self, group: Mapping[str, object], name: str, at: str) -> timedelta | None:
        given = group.get(name)
        if given is None:
            return None
        try:
            span = span_of(given)
        except (ValueError, OverflowError):
            self._faults.add(f"{at}.{name}", "must be a duration such as 90s")
            return None
        if span > LONGEST:
            self._faults.add(f"{at}.{name}", "must not be longer than ten years")
            return None
        return span

    def _count(self, group: Mapping[str, object], name: str, at: str, least: int) -> int:
        given = group.get(name)
        if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= _LARGEST_COUNT:
            self._faults.add(f"{at}.{name}", f"must be a whole number from {least} to {_LARGEST_COUNT}")
            return 0
        return given
