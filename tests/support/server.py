"""The server that the tests' databases are on."""

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
    "wal_compression": "off",  # it is what takes the time when a database is copied
    "shared_buffers": "64MB",
}


@contextmanager
def embedded_server() -> Iterator[Postgres]:
    """A throw-away server, which ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="wakepoint-test-"))
    folder.chmod(0o755)  # for root's tests it runs as another user, who has to get in
    try:
        with EmbeddedPostgres(folder / "data", settings=_SETTINGS) as server:
            yield Postgres(server.dsn)
    finally:
        shutil.rmtree(folder)
