"""Runs one job to its end and writes down how it ended. A program of its own, standard library only.

`supervise.py --detach FOLDER` forks itself off; the folder's `job.json` says what to run. Only one supervisor ever gets
a folder, because `process.json` is created exclusively.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

JOB, PROCESS, EXIT = "job.json", "process.json", "exit.json"
GRACE_SECONDS = 5.0


def start_time_of(pid: int) -> str | None:
    """What tells a process from a later one with the same pid; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _start_time_by_ps(pid) if not Path("/proc/self").exists() else None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def write_atomically(path: Path, value: dict[str, object]) -> None:
    """Whoever reads the file sees all of it or none."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def main(arguments: list[str]) -> int:
    """Supervise the job in the last argument's folder."""
    folder = Path(arguments[-1])
    if "--detach" in arguments and os.fork() != 0:
        # The caller waits for this: with process.json there, the job counts as started.
        deadline = time.monotonic() + GRACE_SECONDS
        while not (folder / PROCESS).exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        return 0
    try:
        taken = os.open(folder / f"{PROCESS}.lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return 0
    os.close(taken)
    write_atomically(folder / PROCESS, {"pid": os.getpid(), "start_time": start_time_of(os.getpid())})
    write_atomically(folder / EXIT, _supervise(folder))
    return 0


def _supervise(folder: Path) -> dict[str, object]:
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    asked_to_stop: list[float] = []

    def stop(_signal: int, _frame: FrameType | None) -> None:
        asked_to_stop.append(time.monotonic())

    signal.signal(signal.SIGTERM, stop)
    try:
        process = subprocess.Popen(
            job["command"], env=job["environment"], cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        return {"exit_code": 127, "stopped": False, "error": f"the command cannot be run: {error}"}
    sent = False
    while process.poll() is None:
        if asked_to_stop and not sent:
            _signal_group(process.pid, signal.SIGTERM)
            sent = True
        if asked_to_stop and time.monotonic() - asked_to_stop[0] > GRACE_SECONDS:
            _signal_group(process.pid, signal.SIGKILL)
        time.sleep(0.05)
    # What the job left running in its group has lost its purpose.
    _signal_group(process.pid, signal.SIGKILL)
    return {"exit_code": process.returncode, "stopped": bool(asked_to_stop)}


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _start_time_by_ps(pid: int) -> str | None:
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
