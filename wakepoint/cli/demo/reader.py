"""The reader's part when WAKEPOINT_INTERACTIVE=1: doing it themselves, or pressing Enter to have it done."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from wakepoint.cli.demo.looking import until
from wakepoint.cli.demo.telling import Teller


def is_interactive() -> bool:
    """Whether the reader kills and approves."""
    return os.environ.get("WAKEPOINT_INTERACTIVE", "0") not in ("", "0")


async def reader_did(teller: Teller, done: Callable[[], Awaitable[bool]]) -> bool:
    """Wait until it is done (True), or until the reader presses Enter to have it done (False)."""
    teller.say("Do it in another terminal, or press Enter to have it done.")
    pressed = asyncio.Event()
    loop = asyncio.get_running_loop()
    listening = _listen(loop, pressed)

    async def look() -> bool | None:
        if await done():
            return True
        return False if pressed.is_set() else None

    try:
        return await until("the reader", look, patience=None)
    finally:
        if listening:
            loop.remove_reader(sys.stdin)


def _listen(loop: asyncio.AbstractEventLoop, pressed: asyncio.Event) -> bool:
    """Whether there is a keyboard, or a pipe, to listen to."""

    def take() -> None:
        # At the end of the input nobody will press anything any more.
        if sys.stdin.readline():
            pressed.set()
        else:
            loop.remove_reader(sys.stdin)

    try:
        loop.add_reader(sys.stdin, take)
    except (OSError, ValueError):  # a file or nothing at all cannot be waited for
        return False
    return True
