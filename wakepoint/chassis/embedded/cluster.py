"""The server's data directory: creating it, its settings, its pid file."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wakepoint.chassis.embedded.account import Account
from wakepoint.chassis.embedded.problems import AlreadyRunning, EmbeddedError

USER = "wakepoint"
"""The server's only role, its superuser."""

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may have 107 bytes, a data directory's more
    "max_connections": "200",  # two services with a pool each, several replicas of them in tests
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",  # fewer full-page images; a recovery of minutes of writes still takes about a second
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class PidFile:
    """What postmaster.pid says: who claims to run the server, since when (Unix seconds), and how far it is."""

    pid: int
    started: int
    status: str


def read_pid_file(path: Path) -> PidFile | None:
    """None when there is none, or when it is incomplete (just being written)."""
    try:
        lines = path.read_text().splitlines()
        return PidFile(int(lines[0]), int(lines[2]), lines[7].strip() if len(lines) > 7 else "")
    except (FileNotFoundError, IndexError, ValueError):
        return None


def stale_owner(pgdata: Path) -> int | None:
    """The pid that a crashed server left behind, if some process has that pid now; else None.

    Called while holding the directory's lock, so no server of ours runs here. Raises AlreadyRunning when that process
    really is a Postgres server on this directory, started by hand.
    """
    found = read_pid_file(pgdata / "postmaster.pid")
    if found is None or not _alive(found.pid):
        return None
    if _is_server_on(found.pid, pgdata):
        raise AlreadyRunning(
            f"process {found.pid} already runs a Postgres server on {pgdata}, started by something else"
        )
    return found.pid


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_server_on(pid: int, pgdata: Path) -> bool:
    """A server's working directory is its data directory; without /proc its name has to do."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cwd").resolve(strict=True) == pgdata.resolve()
        except OSError:  # it has ended, or is another user's, which a server that this user started never is
            return False
    listed = subprocess.run(["/bin/ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return Path(listed.stdout.strip()).name == "postgres"


def server_argv(programs: Path, pgdata: Path, port: int, settings: Mapping[str, str]) -> list[str]:
    """The command line of the server; every setting is on it, so that the code and not an old file decides."""
    chosen = {**_SETTINGS, **settings, "port": str(port)}
    options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    return [str(programs / "postgres"), "-D", str(pgdata), *options]


def read_password(data_dir: Path) -> str:
    """The superuser's password. Raises EmbeddedError when its file is gone."""
    try:
        return (data_dir / "password").read_text().strip()
    except FileNotFoundError:
        raise EmbeddedError(f"{data_dir / 'password'} is missing; without it nobody can log in to {data_dir}") from None


def create_cluster(programs: Path, data_dir: Path, account: Account | None, lock: int) -> None:
    """Make data_dir/pgdata, whole or not at all: an interrupted initdb leaves a folder that the next one replaces.

    initdb holds the directory's `lock` as well, so that it cannot be overtaken when this process dies. Raises
    EmbeddedError with initdb's own words.
    """
    building = data_dir / "pgdata.new"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    _write_private(data_dir / "password", password)
    handover = building.with_name("password.new")
    _write_private(handover, password)
    try:
        if account is not None:
            for path in (building, handover):
                os.chown(path, account.uid, account.gid)
        _initdb(programs, building, handover, account, lock)
    finally:
        handover.unlink(missing_ok=True)
    building.rename(data_dir / "pgdata")


def _initdb(programs: Path, pgdata: Path, password_file: Path, account: Account | None, lock: int) -> None:
    argv = [
        *(str(programs / "initdb"), "-D", str(pgdata), "-U", USER, f"--pwfile={password_file}", "-A", "scram-sha-256"),
        *("-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
    ]
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=(lock,),
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except OSError as error:
        raise EmbeddedError(f"cannot run {argv[0]} as {account.name if account else 'this user'}: {error}") from error
    if done.returncode != 0:
        raise EmbeddedError(f"initdb failed on {pgdata}:\n{done.stderr.strip()}")


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
