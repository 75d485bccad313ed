"""Options that need state, rehearsed: what limits and quiet periods would have made of a row of matches."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.matching import Ruling, Verdict


@dataclass(slots=True)
class Rehearsal:
    """One trigger over a stretch of time, begun with all counters at zero. Matches are given in the order of time.

    As in real admission, a limit is asked when a firing begins, and a match that comes within the quiet period of a
    waiting one takes its place.
    """

    config: TriggerConfig
    rulings: dict[UUID, Ruling] = field(default_factory=dict)
    fired: set[UUID] = field(default_factory=set)
    _count: int = 0
    _window_start: datetime | None = None
    _window_count: int = 0
    _open: UUID | None = None
    _opened: datetime | None = None
    _closes: datetime | None = None

    def admit(self, key: UUID, moment: datetime) -> None:
        """The next match."""
        if self._open is not None and self._opened is not None and self._closes is not None and moment < self._closes:
            self.fired.discard(self._open)
            self.rulings[self._open] = Ruling(Verdict.DEBOUNCED, "another came before the quiet period was over")
            self._fire(key)
            self._open, self._closes = key, self._closing(self._opened, moment)
            return
        refusal = self._refusal(moment)
        if refusal is not None:
            self.rulings[key] = refusal
            return
        self._fire(key)
        if self.config.debounce is not None:
            self._open, self._opened, self._closes = key, moment, self._closing(moment, moment)

    def _fire(self, key: UUID) -> None:
        self.fired.add(key)
        self.rulings[key] = Ruling(Verdict.MATCHED)

    def _closing(self, opened: datetime, last: datetime) -> datetime | None:
        debounce = self.config.debounce
        if debounce is None:
            return None
        closes = last + debounce.quiet_period
        return closes if debounce.max_wait is None else min(closes, opened + debounce.max_wait)

    def _refusal(self, moment: datetime) -> Ruling | None:
        limit = self.config.rate_limit
        if limit is not None and (self._window_start is None or self._window_start + limit.window <= moment):
            self._window_start, self._window_count = moment, 0
        if self.config.max_firings and self._count >= self.config.max_firings:
            return Ruling(Verdict.LIMIT_REACHED, f"all of its {self.config.max_firings} firings are used up")
        if limit is not None and self._window_count >= limit.max_firings:
            return Ruling(Verdict.RATE_LIMITED, f"{self._window_count} firings since {self._window_start}")
        self._count += 1
        self._window_count += 1
        return None
