"""Following a run's log over broken streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from wakepoint.chassis.clock import Clock, SystemClock
from wakepoint.chassis.errors import Unavailable
from wakepoint.runner.v1.runner_pb2 import RunEvent

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


async def follow(
    stream: Callable[[int], AsyncIterator[RunEvent]],
    after_seq: int,
    patience: float,
    clock: Clock | None = None,
) -> AsyncIterator[RunEvent]:
    """The entries of `stream(after)`, which is opened anew, after the last entry seen, whenever the runner goes away.

    Servers end streams every few minutes, so that clients find new replicas: a break is normal. Unavailable is raised
    when nothing has come for `patience` seconds since the last entry, and only then.
    """
    clock = clock or SystemClock()
    heard, pause = clock.monotonic(), _FIRST_PAUSE
    while True:
        opened = clock.monotonic()
        try:
            async for entry in stream(after_seq):
                after_seq, pause = entry.seq, _FIRST_PAUSE
                yield entry
                heard = clock.monotonic()
        except Unavailable:
            now = clock.monotonic()
            # A stream that stood for a while had a runner behind it, whether or not there was something to tell.
            if now - opened > _LONGEST_PAUSE:
                heard, pause = now, _FIRST_PAUSE
            if now - heard + pause > patience:
                raise
        else:
            return
        await clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
