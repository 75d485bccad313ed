"""The old system's SQLite database, read and never written: not a byte of it, and no file beside it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias
from urllib.parse import quote

from wakepoint.chassis.errors import FailedPrecondition, Unavailable

Row: TypeAlias = Mapping[str, Any]

# By the names that they may have there; SQLite does not mind their case.
_TABLES: Mapping[str, Mapping[str, str]] = {
    "workflows": {"workflows": "select * from workflows", "workflow": "select * from workflow"},
    "workflow_triggers": {
        "workflow_triggers": "select * from workflow_triggers",
        "workflow_trigger": "select * from workflow_trigger",
    },
    "runs": {
        "workflow_runs": "select * from workflow_runs",
        "workflow_run": "select * from workflow_run",
        "workflow_queue": "select * from workflow_queue",
    },
    "jobs": {"job": "select * from job", "jobs": "select * from jobs"},
}
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What stood in the database at one moment; tables that it does not have are empty. Names in lower case."""

    workflows: Sequence[Row]
    workflow_triggers: Sequence[Row]
    runs: Sequence[Row]
    jobs: Sequence[Row]
    missing: Sequence[str]


Fingerprint: TypeAlias = tuple[tuple[int, int] | None, ...]


def fingerprint(path: Path) -> Fingerprint:
    """Changes when the database, its journal or its write-ahead log do."""
    return tuple(_stat(file) for file in _files(path))


def read(path: Path) -> Snapshot:
    """All that there is to read. FailedPrecondition: it is no such database; Unavailable: it changes too fast."""
    if not path.is_file():
        raise FailedPrecondition(f"{path} is not a file", reason="LEGACY_SOURCE_UNREADABLE")
    failure: sqlite3.Error | None = None
    for _ in range(_ATTEMPTS):
        before = fingerprint(path)
        try:
            snapshot, failure = _read_once(path), None
        except sqlite3.Error as error:
            failure = error
            continue
        # Written to while it was read: what was read may be half of something.
        if fingerprint(path) == before:
            return snapshot
    if failure is not None:
        raise FailedPrecondition(f"{path} cannot be read: {failure}", reason="LEGACY_SOURCE_UNREADABLE") from failure
    raise Unavailable(f"{path} is being written to all the time", reason="LEGACY_SOURCE_BUSY")


def _read_once(path: Path) -> Snapshot:
    with _opened(path) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        names = {row[0].lower() for row in connection.execute("select name from sqlite_master")}
        tables: dict[str, Sequence[Row]] = {}
        missing: list[str] = []
        for table, statements in _TABLES.items():
            name = next((name for name in statements if name in names), None)
            tables[table] = _rows(connection, statements[name]) if name is not None else ()
            if name is None:
                missing.append(table)
    if "workflows" in missing:
        raise FailedPrecondition(f"{path} has no table of workflows", reason="LEGACY_SOURCE_UNREADABLE")
    return Snapshot(**tables, missing=missing)


def _rows(connection: sqlite3.Connection, statement: str) -> list[Row]:
    cursor = connection.execute(statement)
    columns = [column[0].lower() for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor]


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Immutable: SQLite then takes no lock and makes no file. That overlooks a write-ahead log and a journal, so where
    there is one, a copy of all is read instead.
    """
    if not any(found is not None and found[1] > 0 for found in fingerprint(path)[1:]):
        uri = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            yield connection
        return
    with TemporaryDirectory(prefix="wakepoint-legacy-") as folder:
        for file in _files(path):
            if file.exists():
                shutil.copyfile(file, Path(folder) / file.name)
        with closing(sqlite3.connect(Path(folder) / path.name)) as connection:
            yield connection


def _files(path: Path) -> list[Path]:
    return [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-journal")]


def _stat(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return (found.st_mtime_ns, found.st_size)
