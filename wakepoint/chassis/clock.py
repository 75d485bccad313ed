"""In-process time, always handed in. Times that processes compare with each other are Postgres's, not these."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

T = TypeVar("T")

# How often a woken task gets the loop before time moves on. Each hop of a wake-up (timer -> waiter -> its caller) takes
# one or two turns; this is many times what any chain in the services needs, and costs half a millisecond.
_SETTLE_TURNS = 100


class Clock(Protocol):
    """What code that waits or stamps in memory asks for the time."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; zero or less only gives way to other tasks."""
        ...

    async def wait_for(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        """The awaitable's result, or TimeoutError after `timeout` seconds (None: never), the awaitable cancelled."""
        ...


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        await asyncio.sleep(max(0.0, seconds))

    async def wait_for(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        """See Clock."""
        # Not asyncio.wait_for: before Python 3.12 it can swallow a cancellation that arrives with the result.
        async with asyncio.timeout(timeout):
            return await awaitable


class ManualClock:
    """Time that stands still until a test calls `advance`; sleepers and timeouts then end in the order they are due."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("the start must be an aware datetime")
        self._start = start
        self._elapsed = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = itertools.count()

    def now(self) -> datetime:
        """See Clock."""
        return self._start.astimezone(UTC) + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """See Clock; seconds since the clock was made."""
        return self._elapsed

    @property
    def waiting(self) -> int:
        """How many sleeps and timeouts are open; a test waits on this before it advances."""
        return len(self._timers)

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self._call_after(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            self._cancel(timer)

    async def wait_for(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        """See Clock."""
        if timeout is None or timeout <= 0:
            async with asyncio.timeout(timeout):
                return await awaitable
        async with asyncio.timeout(None) as scope:
            loop = asyncio.get_running_loop()
            timer = self._call_after(timeout, lambda: scope.reschedule(loop.time()))
            try:
                return await awaitable
            finally:
                self._cancel(timer)

    async def advance(self, seconds: float) -> None:
        """Move time forward. Whatever is due on the way runs at its own due time, before anything that is due later."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        target = self._elapsed + seconds
        await self.settle()
        while (due := self._next_due()) is not None and due <= target:
            self._elapsed = max(self._elapsed, due)
            heapq.heappop(self._timers)[2]()
            await self.settle()
        self._elapsed = target
        await self.settle()

    async def settle(self) -> None:
        """Let other tasks run until all of them wait for time or for something outside this process."""
        for _ in range(_SETTLE_TURNS):
            await asyncio.sleep(0)

    def _call_after(self, seconds: float, wake: Callable[[], None]) -> int:
        timer = next(self._sequence)
        heapq.heappush(self._timers, (self._elapsed + seconds, timer, wake))
        return timer

    def _cancel(self, timer: int) -> None:
        self._timers = [entry for entry in self._timers if entry[1] != timer]
        heapq.heapify(self._timers)

    def _next_due(self) -> float | None:
        return self._timers[0][0] if self._timers else None
