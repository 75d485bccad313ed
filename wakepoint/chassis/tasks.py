"""Tasks that run as long as the service does, and the event that tells one of them to look again now."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import structlog

from wakepoint.chassis.clock import Clock, SystemClock

_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 10.0
_HEALTHY_SECONDS = 30.0

_log = structlog.stdlib.get_logger(__name__)


def backoff(attempt: int, rng: random.Random, *, first: float, longest: float) -> float:
    """Seconds to wait after failure number `attempt` (1, 2, ...): doubling, and between half and all of that, so that
    replicas which failed together do not come back together.
    """
    return min(longest, first * 2.0 ** min(attempt - 1, 60)) * rng.uniform(0.5, 1.0)


class Background:
    """Runs named loops, and starts one again after a pause when it crashes. `on_crash` gets its name, for a metric."""

    def __init__(
        self,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        on_crash: Callable[[str], None] | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._rng = rng or random.SystemRandom()
        self._on_crash = on_crash
        self._crashes: Counter[str] = Counter()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    @property
    def crashes(self) -> Mapping[str, int]:
        """How often each loop has crashed so far."""
        return MappingProxyType(self._crashes)

    @property
    def running(self) -> frozenset[str]:
        """The names of the loops that have not returned."""
        return frozenset(name for name, task in self._tasks.items() if not task.done())

    def spawn(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run `loop()` until it returns or `stop` is called. Each name is used by one loop at a time."""
        if self._stopping:
            raise RuntimeError(f"{name} cannot start: the service is stopping")
        if name in self.running:
            raise ValueError(f"{name} is running already")
        self._tasks[name] = asyncio.create_task(self._supervise(name, loop), name=name)

    async def stop(self, grace: float = 10.0) -> None:
        """Cancel every loop and wait until all have ended; after `grace` seconds the rest is logged and left."""
        self._stopping = True
        tasks = [task for task in self._tasks.values() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        try:
            await self._clock.wait_for(asyncio.wait(tasks), timeout=grace)
        except TimeoutError:
            _log.error("loops ignore their cancellation", loops=[task.get_name() for task in tasks if not task.done()])

    async def _supervise(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            started = self._clock.monotonic()
            try:
                await loop()
            except Exception as error:  # noqa: BLE001 -- supervising is catching everything
                lasted = self._clock.monotonic() - started
                failures = 1 if lasted >= _HEALTHY_SECONDS else failures + 1
                self._note_crash(name, failures, error)
            else:
                return
            pause = backoff(failures, self._rng, first=_FIRST_BACKOFF_SECONDS, longest=_LONGEST_BACKOFF_SECONDS)
            await self._clock.sleep(pause)

    def _note_crash(self, name: str, failures: int, error: Exception) -> None:
        self._crashes[name] += 1
        _log.error("loop crashed and is started again", loop=name, failures_in_a_row=failures, exc_info=error)
        if self._on_crash is not None:
            self._on_crash(name)


class Poke:
    """Says 'look again'. Any number of pokes before the next wait are one; a poke with nobody waiting is kept."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._event = asyncio.Event()

    def poke(self) -> None:
        """Wake the waiter, or let its next wait return at once. For the loop's own thread only."""
        self._event.set()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for a poke for up to `timeout` seconds. True: poked, and the poke is used up. False: time ran out."""
        try:
            await self._clock.wait_for(self._event.wait(), timeout)
        except TimeoutError:
            return False
        self._event.clear()
        return True
