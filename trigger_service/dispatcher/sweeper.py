"""Picks up jobs that others wrote into the table, and jobs that fell silent."""

from __future__ import annotations

from datetime import datetime

from trigger_service.usecases.environment import Environment
from trigger_service.usecases.lose_silent_jobs import database_time, lose_silent_jobs
from trigger_service.usecases.sweep_written_jobs import say_matched, sweep_written_jobs
from wakepoint.chassis.clock import Clock

_DEAF_AFTER_SECONDS = 10.0


class Sweeper:
    """One round at a time. Any number of replicas sweep; each counts silence only from when it could hear."""

    def __init__(self, env: Environment, clock: Clock, *, batch: int = 500) -> None:
        self._env = env
        self._clock = clock
        self._batch = batch
        self._listening_since: datetime | None = None
        self._last_round = clock.monotonic()

    async def sweep_once(self) -> bool:
        """Whether there may be more."""
        since = await self._since()
        written = await sweep_written_jobs(self._env, self._batch)
        await say_matched(self._env, self._batch)
        lost = await lose_silent_jobs(self._env, since)
        self._last_round = self._clock.monotonic()
        return written > 0 or lost > 0

    async def _since(self) -> datetime:
        # After a time in which this process was frozen, or the database away, nobody may have been able to report.
        was_deaf = self._clock.monotonic() - self._last_round > _DEAF_AFTER_SECONDS
        if self._listening_since is None or was_deaf:
            self._listening_since = await database_time(self._env)
        return self._listening_since
