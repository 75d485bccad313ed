"""A child process that ends with this one, also when this one is killed -9."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wakepoint.chassis.embedded.account import Account
from wakepoint.chassis.embedded.problems import EmbeddedError

_WARDEN = Path(__file__).with_name("warden.py")


@dataclass(frozen=True, slots=True)
class Stop:
    """One step of stopping: this signal, then so many seconds until the next step; after the last, SIGKILL."""

    signal: signal.Signals
    seconds: float


class Guarded:
    """A running program under a warden process. Made by `start`; not safe to share between threads.

    The pipe that ties it to this process is not inherited by other programs started from here; a `fork` without
    `exec` would keep it open and the program alive.
    """

    def __init__(self, warden: subprocess.Popen[str], pid: int) -> None:
        self._warden = warden
        self.pid = pid
        self._exit_code: int | None = None

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        stops: Sequence[Stop] = (Stop(signal.SIGTERM, 30.0),),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        output: Path | None = None,
        account: Account | None = None,
        keep_open: Sequence[int] = (),
    ) -> Guarded:
        """Start `argv` with `output` (a file, appended to; default: this process's standard error) as its output.

        `account`: the user to run it as; default: this one. `keep_open`: file descriptors that the program holds as
        long as it lives, for locks. Raises EmbeddedError when the program cannot be started.
        """
        order: dict[str, Any] = {
            "argv": list(argv),
            "stops": [[int(stop.signal), stop.seconds] for stop in stops],
            "cwd": str(cwd) if cwd else None,
            "output": str(output) if output else None,
            "account": {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {},
            "keep_open": list(keep_open),
        }
        warden = _start_warden(order, env)
        assert warden.stdout is not None
        fact = json.loads(warden.stdout.readline() or '{"error": "its warden process ended at once"}')
        if "pid" not in fact:
            _close(warden)
            raise EmbeddedError(f"cannot start {argv[0]}: {fact['error']}")
        return cls(warden, fact["pid"])

    @property
    def exit_code(self) -> int | None:
        """None while it runs; then its exit status, negative for a signal."""
        if self._exit_code is None and self._warden.poll() is not None:
            assert self._warden.stdout is not None
            fact = json.loads(self._warden.stdout.readline() or f'{{"exit": {-signal.SIGKILL}}}')
            self._exit_code = int(fact["exit"])
            _close(self._warden)
        return self._exit_code

    def wait(self, timeout: float) -> int:
        """Wait until it has ended; its exit status. Raises TimeoutError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (code := self.exit_code) is None:
            try:
                self._warden.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"process {self.pid} still runs after {timeout} s") from None
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the program (never a process that got its pid later); nothing happens when it has ended."""
        assert self._warden.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._warden.stdin.write(f"{int(number)}\n")
            self._warden.stdin.flush()

    def begin_stop(self) -> None:
        """Have it stopped step by step (`stops`), without waiting: for several that may end at the same time."""
        assert self._warden.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._warden.stdin.close()

    def stop(self, timeout: float) -> int:
        """Stop it and wait; its exit status. Raises TimeoutError after `timeout` seconds."""
        self.begin_stop()
        return self.wait(timeout)


def _start_warden(order: Mapping[str, Any], env: Mapping[str, str] | None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_WARDEN), json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(env) if env is not None else None,
        pass_fds=order["keep_open"],
        start_new_session=True,  # Ctrl-C in a terminal is for this process alone; it decides the order of the end
    )


def _close(warden: subprocess.Popen[str]) -> None:
    warden.wait()
    for pipe in (warden.stdin, warden.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
