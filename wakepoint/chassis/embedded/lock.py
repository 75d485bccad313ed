"""Who has a data directory. The kernel's file lock decides: it goes when its last holder does, so it is never stale.

Every process of the server holds it (the descriptor is inherited), not only the one that started it. So it is free
exactly when no process of an earlier server can touch the data any more, which a pid file cannot tell: pids are reused.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from wakepoint.chassis.embedded.problems import AlreadyRunning

_PATIENCE_SECONDS = 2.0  # for an earlier server that is just noticing that its parent has died
_STOPPING_SECONDS = 40.0  # for one that has noticed and writes its last checkpoint
_POLL_SECONDS = 0.02


def acquire(data_dir: Path, pid_file: Path) -> int:
    """Lock `data_dir`; the open descriptor that holds the lock. Raises AlreadyRunning when another server has it.

    Waits for an earlier server whose parent died and which is stopping, as its `pid_file` says.
    """
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
            if waited > (_STOPPING_SECONDS if _is_stopping(pid_file) else _PATIENCE_SECONDS):
                os.close(descriptor)
                raise AlreadyRunning(f"another process already runs a Postgres server on {data_dir}") from None
            time.sleep(_POLL_SECONDS)
        else:
            return descriptor


def _is_stopping(pid_file: Path) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return True
    return len(lines) >= 8 and lines[7].strip() == "stopping"
