"""Looking at processes."""

from pathlib import Path

import psutil


def processes_of(folder: Path) -> list[str]:
    """Command lines of the living processes that work in `folder` or name it."""
    found = []
    for process in psutil.process_iter():
        try:
            named = any(str(folder) in part for part in process.cmdline())
            if (named or process.cwd().startswith(str(folder))) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
