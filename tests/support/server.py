"""The server that the tests' databases are on."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import Postgres
from wakepoint.chassis.embedded import EmbeddedPostgres

# The databases live no longer than the tests, so nothing is lost by not waiting for the disk.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_compression": "off",
    "max_wal_size": "256MB",
    "shared_buffers": "64MB",
}
_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 2 * 2**30


def _place() -> Path | None:
    """Memory, where Linux offers it: making a database there takes 20 ms, on a slow disk 300."""
    if os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES:
        return _MEMORY
    return None


@contextmanager
def embedded_server() -> Iterator[Postgres]:
    """A throw-away server, which ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="wakepoint-test-", dir=_place()))
    folder.chmod(0o755)  # for root's tests it runs as another user, who has to get in
    try:
        with EmbeddedPostgres(folder / "data", settings=_SETTINGS) as server:
            yield Postgres(server.dsn)
    finally:
        shutil.rmtree(folder)
