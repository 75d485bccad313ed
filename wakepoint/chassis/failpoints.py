"""Places where a test may kill the process: the proof that no step between two commits loses anything.

`WAKEPOINT_FAILPOINT` is read once, when the process starts: `name` kills at the first hit (SIGKILL: no cleanup runs,
exactly as in a crash), `name@3` at the third, `name:stop` freezes instead (SIGSTOP), `name@3:stop` both. Several are
separated by commas. Without the variable a hit costs one comparison.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass

VARIABLE = "WAKEPOINT_FAILPOINT"
_SPEC = re.compile(r"(?P<name>[a-z0-9_.]+)(?:@(?P<nth>[1-9][0-9]*))?(?P<stop>:stop)?")


@dataclass(slots=True)
class _Armed:
    remaining: int
    signal: signal.Signals


def _parse(text: str) -> dict[str, _Armed]:
    armed = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _SPEC.fullmatch(part)
        if match is None:
            # A misspelt failpoint would let a crash test pass without a crash.
            raise ValueError(f"{VARIABLE}: {part!r} is not of the form name[@N][:stop]")
        kind = signal.SIGSTOP if match["stop"] else signal.SIGKILL
        armed[match["name"]] = _Armed(int(match["nth"] or 1), kind)
    return armed


_armed = _parse(os.environ.get(VARIABLE, ""))


def hit(name: str) -> None:
    """The process passes the place called `name`; it does not survive if that place is armed and its count is up."""
    if not _armed:
        return
    point = _armed.get(name)
    if point is None:
        return
    point.remaining -= 1
    if point.remaining == 0:
        os.kill(os.getpid(), point.signal)
