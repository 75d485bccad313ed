"""Waiting for something to become true, instead of sleeping and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

_POLL_SECONDS = 0.01


@overload
async def eventually(check: Callable[[], Awaitable[T]], timeout: float = ...) -> T: ...
@overload
async def eventually(check: Callable[[], T], timeout: float = ...) -> T: ...
async def eventually(check: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Polls `check` until it gives something true, and returns that; AssertionError after `timeout` seconds.

    An AssertionError inside `check` means 'not yet'; any other error is one.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            outcome = check()
            result = await outcome if inspect.isawaitable(outcome) else outcome
            if result:
                return result
            last: object = result
        except AssertionError as error:
            last = error
        if time.monotonic() >= end:
            raise AssertionError(f"not true within {timeout} s; last seen: {last!r}")
        await asyncio.sleep(_POLL_SECONDS)


def eventually_sync(check: Callable[[], T], timeout: float = 10.0) -> T:
    """`eventually` for tests that have no event loop."""
    end = time.monotonic() + timeout
    while True:
        try:
            last: object = (result := check())
            if result:
                return result
        except AssertionError as error:
            last = error
        if time.monotonic() >= end:
            raise AssertionError(f"not true within {timeout} s; last seen: {last!r}")
        time.sleep(_POLL_SECONDS)
