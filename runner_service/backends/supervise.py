"""Runs one job to its end and writes down how it ended. A program of its own, standard library only.

`supervise.py FOLDER` leaves a supervisor behind that is nobody's child, and returns 0 once that has taken the folder.
It holds the folder's lock for as long as it lives: the kernel lets go of it whatever it dies of, so whoever gets the
lock knows that there is no supervisor. `process.json` is written before the job starts, `exit.json` after it ended, so
that a job starts at most once; a `stop` file asks for its end, also before it started.
"""

import errno
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

JOB, LOCK, PROCESS, STOP, EXIT = "job.json", "lock", "process.json", "stop", "exit.json"
STDOUT, STDERR = "stdout.log", "stderr.log"
GRACE_SECONDS = 5.0
LOOK_SECONDS = 1.0
COOKIE = "WAKEPOINT_JOB_ID"
_READY = "ready"


def identity_of(pid: int) -> str | None:
    """What tells a process from every other with the same pid, also of before a reboot; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None if Path("/proc/self").exists() else _identity_by_ps(pid)
    return None if fields[0] == "Z" else f"{boot}:{fields[19]}"


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Whether nobody else holds the folder; nobody gets it meanwhile."""
    descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, value: object) -> None:
    """Whoever reads the file sees all of it or none, also after the machine went down."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def kill_remains(job_id: str, seconds: float = 2.0) -> None:
    """Kill every process that has inherited the job's id, those among it that left the job's group.

    Linux only: elsewhere the group is all there is.
    """
    deadline = time.monotonic() + seconds
    while (found := _remains(job_id)) and time.monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def main(arguments: list[str]) -> int:
    """Leave a supervisor behind for the folder in the last argument; 1, with the reason on stderr, if there is none."""
    folder = Path(arguments[-1])
    reader, writer = os.pipe()
    if os.fork() != 0:
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as pipe:
            answer = pipe.read()
        if answer != _READY:
            sys.stderr.write(answer or "the supervisor died at once")
        return int(answer != _READY)
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as pipe:
        try:
            _take(folder, lambda: _detach(pipe.fileno(), _READY))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the one who started this is to know
            _detach(pipe.fileno(), str(error) or type(error).__name__)
    return 0


def _take(folder: Path, ready: Callable[[], None]) -> None:
    """Supervise the job unless somebody does or did. The first to get the lock writes `process.json`."""
    descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    while not _lock(descriptor) and not (folder / PROCESS).exists():
        time.sleep(0.005)  # those who look whether there is a supervisor hold it for a moment
    if (folder / PROCESS).exists() or (folder / EXIT).exists():
        ready()
        return
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    supervisor = _Supervisor(folder, job)
    write_atomically(folder / PROCESS, {"pid": os.getpid(), "identity": identity_of(os.getpid())})
    ready()
    _write_down(folder / EXIT, supervisor.run())


def _write_down(path: Path, ended: object) -> None:
    """A full disk must not cost the job its outcome; a folder that is gone has nobody to tell."""
    while path.parent.exists():
        try:
            write_atomically(path, ended)
        except OSError:
            time.sleep(LOOK_SECONDS)
        else:
            return


def _detach(pipe: int, message: str) -> None:
    """Answer who started this, and let go of everything of theirs."""
    with suppress(BrokenPipeError):
        os.write(pipe, message.encode())
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2, pipe):
        os.dup2(nowhere, descriptor, inheritable=False)


class _Supervisor:
    """Signals count from the moment it is made."""

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self._folder = folder
        self._job = job
        self._asked = False
        self._sent: float | None = None
        # Signals end the wait in `_pause` at once, however early they come.
        self._woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.signal(signal.SIGTERM, lambda _signal, _frame: self._ask())

    def run(self) -> dict[str, object]:
        """How the job ended: {exit_code, stopped, error}."""
        if self._stop_wanted():
            return {"exit_code": None, "stopped": True}
        try:
            process = self._start()
        except (OSError, ValueError) as error:
            reason = self._why_not_run(error)
            code = 126 if isinstance(reason, PermissionError) else 127
            return {"exit_code": code, "stopped": False, "error": f"the command cannot be run: {reason}"}
        while process.poll() is None:
            if self._stop_wanted():
                self._press(process.pid)
            self._pause()
        # What the job left running has lost its purpose.
        _signal_group(process.pid, signal.SIGKILL)
        kill_remains(self._job["environment"][COOKIE])
        return {"exit_code": process.returncode, "stopped": self._sent is not None}

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / STDOUT).open("ab") as stdout, (self._folder / STDERR).open("ab") as stderr:
            return subprocess.Popen(  # noqa: S603 -- running the command that the graph names is what this is for
                self._job["command"],
                env=self._job["environment"],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    def _why_not_run(self, error: Exception) -> Exception:
        # A folder in PATH that this user may not enter makes "not there" look like "not allowed".
        program, path = self._job["command"][0], self._job["environment"].get("PATH")
        if isinstance(error, PermissionError) and os.sep not in program and shutil.which(program, path=path) is None:
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
        return error

    def _ask(self) -> None:
        self._asked = True

    def _stop_wanted(self) -> bool:
        return self._asked or (self._folder / STOP).exists()

    def _press(self, group: int) -> None:
        """Ask the job to end; after the grace time, make it."""
        if self._sent is None:
            self._sent = time.monotonic()
            _signal_group(group, signal.SIGTERM)
        elif time.monotonic() - self._sent >= GRACE_SECONDS:
            _signal_group(group, signal.SIGKILL)

    def _pause(self) -> None:
        ready, _, _ = select.select([self._woken], [], [], LOOK_SECONDS)
        if ready:
            os.read(self._woken, 4096)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remains(job_id: str) -> list[int]:
    cookie = f"{COOKIE}={job_id}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if cookie in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _identity_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- fixed words and a number
    return found.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
