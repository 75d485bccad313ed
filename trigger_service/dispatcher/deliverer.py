"""Tells the runner of accepted job events, at least once each; the runner tells repetitions by the event."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from trigger_service.domain.deliveries import Delivery, Told
from trigger_service.usecases.deliver_job_events import lease_deliveries, record_deliveries
from wakepoint.chassis import failpoints
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.chassis.tasks import backoff

_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 15.0

_log = structlog.stdlib.get_logger(__name__)


class EventReceiver(Protocol):
    """The runner, as far as it takes job events."""

    async def deliver_job_events(self, events: Sequence[Delivery]) -> list[Told]:
        """One outcome per event, in order. A runner that is away is an outcome too."""
        ...


class Deliverer:
    """Any number may run. While nobody answers, one event at a time finds out whether somebody is back."""

    def __init__(
        self,
        database: Database,
        receiver: EventReceiver,
        clock: Clock,
        rng: random.Random,
        *,
        lease: timedelta,
        batch: int = 500,
    ) -> None:
        self._database = database
        self._receiver = receiver
        self._clock = clock
        self._rng = rng
        self._lease = lease
        self._batch = batch
        self._limit = batch
        self._absences = 0
        self._not_before = clock.monotonic()

    @property
    def runner_is_away(self) -> bool:
        """Whether the last batch met nobody who takes job events."""
        return self._absences > 0

    async def deliver_once(self) -> bool:
        """Tell one batch; whether there may be more to tell at once. Nothing while the runner is given its pause."""
        if self._clock.monotonic() < self._not_before:
            return False
        leased = await lease_deliveries(self._database, self._lease, self._limit)
        if not leased:
            return False
        failpoints.hit("trigger.deliver.leased")
        limit = self._limit
        told = await self._receiver.deliver_job_events(leased)
        failpoints.hit("trigger.deliver.sent")
        self._note_absence(told)
        await record_deliveries(self._database, leased, told, self._retry_delay)
        return len(leased) >= limit and not self._absences

    def _note_absence(self, told: Sequence[Told]) -> None:
        if told[-1] is Told.AWAY:
            self._absences += 1
            self._limit = 1
            pause = backoff(self._absences, self._rng, first=_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS)
            self._not_before = self._clock.monotonic() + pause
            if self._absences == 1:
                _log.warning("nobody takes job events at the runner; they wait", events=len(told))
            return
        self._limit = min(self._limit * 4, self._batch)
        if self._absences:
            _log.info("the runner takes job events")
            self._absences = 0

    def _retry_delay(self, attempts: int) -> timedelta:
        seconds = backoff(attempts, self._rng, first=_FIRST_RETRY_SECONDS, longest=_LONGEST_RETRY_SECONDS)
        return timedelta(seconds=seconds)
