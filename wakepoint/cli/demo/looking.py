"""Looking at the services until something is so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from wakepoint.cli.demo.telling import PromiseBroken

Found = TypeVar("Found")

PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.05


async def until(
    what: str, look: Callable[[], Awaitable[Found | None]], patience: float | None = PATIENCE_SECONDS
) -> Found:
    """What `look` finds, once it does; looks every 50 ms. PromiseBroken after `patience` seconds, None: never."""
    start = time.monotonic()
    while True:
        found = await look()
        if found is not None:
            return found
        if patience is not None and time.monotonic() - start > patience:
            raise PromiseBroken(f"{what}: still waiting after {patience:.0f} s")
        await asyncio.sleep(_LOOK_SECONDS)
