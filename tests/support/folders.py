"""Folders in which Postgres can run whoever runs the tests."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reachable_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder that other users can enter: as root the server is one of them, and `tmp_path` is closed."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
