"""Forward-only schema migrations: numbered .sql files, each applied once, in a transaction of its own.

A directory of package data holds `0001_runs.sql`, `0002_waits.sql`, ... Every name in them is written with its schema
(the search path is empty while they run). A file that was applied somewhere is never changed again; a later file
corrects it. A schema that is newer than the code is fine: migrations expand first and contract a release later.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import asyncpg
import structlog

from wakepoint.chassis import driver, sql
from wakepoint.chassis.clock import Clock, SystemClock
from wakepoint.chassis.errors import Aborted, FailedPrecondition

Mode = Literal["auto", "check"]

_QUERIES = sql.load("wakepoint.chassis", "migrations.sql")
_FILE = re.compile(r"(?P<version>[0-9]{4})_(?P<name>[a-z0-9_]+)\.sql")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LOCK_TIMEOUT = "2s"
_PAUSE_SECONDS = 1.0
_JITTER = random.SystemRandom()

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `checksum` is the SHA-256 of its text in hex, line ends being one character."""

    version: int
    name: str
    checksum: str
    text: str


async def migrate(
    dsn: str,
    *,
    schema: str,
    package: str,
    mode: Mode = "auto",
    patience: float = 300.0,
    clock: Clock | None = None,
) -> int:
    """Bring `schema` up to the files in `package`, or with mode `check` only look. Returns the schema's version.

    A migration asks for its locks for two seconds at a time, so that it never makes other statements queue behind it
    for longer; after `patience` seconds of that it gives up with Aborted (LOCK_TIMEOUT). FailedPrecondition: the schema
    is older than the code (`check`), or an applied file was changed or slipped in between. Unavailable: no database.
    """
    if not _SCHEMA.fullmatch(schema):
        raise ValueError(f"{schema!r} is not a plain schema name")
    files = load(package)
    try:
        connection = await _connect(dsn)
        try:
            if mode == "check":
                return await _check(connection, schema, files)
            return await _apply_all(connection, schema, files, patience, clock or SystemClock())
        finally:
            await connection.close(timeout=5.0)
    except Exception as error:
        # A migration's own errors stay as they are: whoever reads them wrote it, or reports it.
        if driver.is_connection_trouble(error):
            raise driver.unavailable() from error
        raise


def load(package: str) -> list[Migration]:
    """The migrations in `package`, ascending. ValueError for a misnamed .sql file or one number used twice."""
    found: dict[int, Migration] = {}
    for entry in sorted(resources.files(package).iterdir(), key=lambda item: item.name):
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(entry.name)
        if match is None or int(match["version"]) in found:
            raise ValueError(f"{package}: {entry.name!r} is not of the form NNNN_name.sql with a number of its own")
        text = "\n".join(entry.read_text(encoding="utf-8").splitlines())
        checksum = hashlib.sha256(text.encode()).hexdigest()
        found[int(match["version"])] = Migration(int(match["version"]), match["name"], checksum, text)
    return list(found.values())


async def _connect(dsn: str) -> asyncpg.Connection:
    target = driver.Target.parse(dsn)
    return await asyncpg.connect(
        target.dsn,
        connection_class=driver.CheckedConnection,
        timeout=driver.CONNECT_TIMEOUT_SECONDS,
        statement_cache_size=0,
        server_settings={"application_name": "wakepoint-migrations"},
    )


async def _check(connection: asyncpg.Connection, schema: str, files: Sequence[Migration]) -> int:
    async with connection.transaction(readonly=True):
        await _settings(connection, schema)
        version, pending = await _pending(connection, schema, files)
    if pending:
        raise FailedPrecondition(
            f"schema {schema} is at version {version}, this code needs {files[-1].version}",
            reason="SCHEMA_TOO_OLD",
            schema=schema,
            version=version,
        )
    return version


async def _apply_all(
    connection: asyncpg.Connection, schema: str, files: Sequence[Migration], patience: float, clock: Clock
) -> int:
    deadline = clock.monotonic() + patience
    while True:
        try:
            version, more = await _apply_next(connection, schema, files)
        except asyncpg.LockNotAvailableError as error:
            if clock.monotonic() >= deadline:
                raise Aborted(f"schema {schema} is locked by others", reason="LOCK_TIMEOUT", schema=schema) from error
            # Away from the queue for a moment, so that what piled up behind this attempt gets through.
            await clock.sleep(_JITTER.uniform(_PAUSE_SECONDS / 2, _PAUSE_SECONDS))
            continue
        if not more:
            return version


async def _apply_next(connection: asyncpg.Connection, schema: str, files: Sequence[Migration]) -> tuple[int, bool]:
    """Apply the lowest pending file, if any. Returns the version reached and whether another file waits."""
    async with connection.transaction():
        await _settings(connection, schema)
        await connection.execute(_QUERIES["lock"], schema)
        await connection.execute(_QUERIES["create_table"])
        version, pending = await _pending(connection, schema, files)
        if not pending:
            return version, False
        migration = pending[0]
        try:
            await connection.execute(migration.text)
        except asyncpg.PostgresError as error:
            error.add_note(f"in migration {migration.version:04}_{migration.name} of schema {schema}")
            raise
        await connection.execute(_QUERIES["enter_schema"], schema)
        await connection.execute(_QUERIES["record"], migration.version, migration.name, migration.checksum)
    _log.info("migrated", schema=schema, version=migration.version, migration=migration.name)
    return migration.version, len(pending) > 1


async def _settings(connection: asyncpg.Connection, schema: str) -> None:
    await connection.execute(_QUERIES["settings"], _LOCK_TIMEOUT, schema)


async def _pending(
    connection: asyncpg.Connection, schema: str, files: Sequence[Migration]
) -> tuple[int, list[Migration]]:
    """The version that the schema has, and what it lacks. FailedPrecondition when history does not match the files."""
    if not await connection.fetchval(_QUERIES["has_table"], schema):
        return 0, list(files)
    await connection.execute(_QUERIES["enter_schema"], schema)
    applied = {row["version"]: row["checksum"] for row in await connection.fetch(_QUERIES["applied"])}
    await connection.execute(_QUERIES["leave_schema"])
    version = max(applied, default=0)
    for file in files:
        name = f"{file.version:04}_{file.name}"
        if file.version in applied and applied[file.version] != file.checksum:
            raise FailedPrecondition(f"migration {name} was changed after it was applied", reason="MIGRATION_CHANGED")
        if file.version not in applied and file.version < version:
            raise FailedPrecondition(f"migration {name} slipped in below {version}", reason="MIGRATION_OUT_OF_ORDER")
    return version, [file for file in files if file.version not in applied]
