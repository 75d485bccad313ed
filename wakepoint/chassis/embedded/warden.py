"""Stands between a process and its child and outlives both: the child ends when the process does, even by kill -9.

Run as a script with one JSON argument (see `Guarded`), from the standard library alone so that it starts in
milliseconds. Its standard input is a pipe whose other end only the parent has. Lines on it are signal numbers for the
child; its end, which the kernel makes however the parent dies, means: stop the child. What it knows it writes as JSON
lines to standard output. Should the warden itself be killed, the kernel stops the child (on Linux).

Only the warden signals the child, because only the one who reaps a process can know that its pid is still that process.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG = 1


def _dies_with(warden: int, stop_signal: int) -> Callable[[], None] | None:
    """What the child does before it becomes its program; after the change of user, which would undo it."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, stop_signal)
        if os.getppid() != warden:  # it died before the line above took effect
            os._exit(1)

    return tie


def _start(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    output = os.open(order["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if order["output"] else 2
    return subprocess.Popen(
        order["argv"],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=order["cwd"],
        pass_fds=order["keep_open"],
        preexec_fn=_dies_with(os.getpid(), order["stops"][0][0]),  # noqa: PLW1509 - there is only this thread
        **order["account"],
    )


class _Warden:
    def __init__(self, child: subprocess.Popen[bytes], wakeups: int, stops: list[tuple[int, float]]) -> None:
        self._child = child
        self._wakeups = wakeups
        self._stops = stops
        self._deadline: float | None = None
        self._buffer = b""

    def watch(self) -> int:
        """Until the child has ended; its return code."""
        while self._child.poll() is None:
            listening = [self._wakeups] + ([] if self._deadline else [0])
            wait = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            ready, _, _ = select.select(listening, [], [], wait)
            if self._wakeups in ready:
                self._woken(os.read(self._wakeups, 512))
            elif 0 in ready:
                self._commanded(os.read(0, 512))
            else:
                self._escalate()
        return self._child.returncode

    def _woken(self, signals: bytes) -> None:
        if self._deadline is None and {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} & set(signals):
            self._escalate()

    def _commanded(self, read: bytes) -> None:
        if not read:
            self._escalate()
            return
        *lines, self._buffer = (self._buffer + read).split(b"\n")
        for line in lines:
            self._child.send_signal(int(line))

    def _escalate(self) -> None:
        number, seconds = self._stops.pop(0) if self._stops else (signal.SIGKILL, 5.0)
        self._child.send_signal(number)
        self._deadline = time.monotonic() + seconds


def _say(**fact: object) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone; what is left to do is the same
        os.write(1, json.dumps(fact).encode() + b"\n")


def main() -> None:
    """Start the child that the order describes and watch it until it has ended."""
    order = json.loads(sys.argv[1])
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        child = _start(order)
    except (OSError, subprocess.SubprocessError) as error:
        _say(error=str(error))
        sys.exit(1)
    _say(pid=child.pid)
    _say(exit=_Warden(child, read_end, [(number, seconds) for number, seconds in order["stops"]]).watch())


if __name__ == "__main__":
    main()
