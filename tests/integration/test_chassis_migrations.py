import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from tests.support.conditions import eventually
from tests.support.postgres import lock_waiters
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.errors import Aborted, FailedPrecondition, Unavailable
from wakepoint.chassis.migrations import load, migrate

Files = dict[str, str]

_THINGS = "create table app.things (id int primary key);"
_NOTES = "alter table app.things add column note text;"


class Package:
    """A package of migrations whose files a test writes."""

    def __init__(self, folder: Path) -> None:
        self.name = f"migrations_{uuid4().hex}"
        self._folder = folder / self.name
        self._folder.mkdir()
        (self._folder / "__init__.py").touch()

    def write(self, **files: str) -> str:
        for name, text in files.items():
            (self._folder / f"{name.removeprefix('v')}.sql").write_text(text)
        return self.name

    def remove(self, name: str) -> None:
        (self._folder / f"{name}.sql").unlink()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.syspath_prepend(tmp_path)
    return Package(tmp_path)


@pytest.fixture(autouse=True)
def _short_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wakepoint.chassis.migrations._LOCK_TIMEOUT", "300ms")


@pytest.fixture
async def connection(empty_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(empty_dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def owner_dsn(empty_dsn: str, connection: asyncpg.Connection) -> AsyncIterator[str]:
    """The test's database, as a role that owns the schema `app` there and may create no other."""
    role, parts = f"owner_{uuid4().hex}", urlsplit(empty_dsn)
    await connection.execute(f"create role {role} login password 'secret'; create schema app authorization {role}")
    _, separator, host = parts.netloc.rpartition("@")
    # Put together by hand: urlunsplit drops the slashes of a DSN whose host is a socket's folder.
    yield f"{parts.scheme}://{role}:secret{separator or '@'}{host}{parts.path}" + (
        f"?{parts.query}" if parts.query else ""
    )
    await connection.execute(f"drop owned by {role}; drop role {role}")


async def test_files_are_applied_in_order_once_and_recorded(
    empty_dsn: str, package: Package, connection: asyncpg.Connection
) -> None:
    name = package.write(v0002_notes=_NOTES, v0001_things=_THINGS)
    assert await migrate(empty_dsn, schema="app", package=name) == 2
    assert await migrate(empty_dsn, schema="app", package=name) == 2
    rows = await connection.fetch("select version, name, length(checksum) as n from app.migrations order by version")
    assert [tuple(row) for row in rows] == [(1, "things", 64), (2, "notes", 64)]
    await connection.execute("insert into app.things (id, note) values (1, 'x')")


async def test_a_later_file_is_applied_on_top(empty_dsn: str, package: Package, connection: asyncpg.Connection) -> None:
    assert await migrate(empty_dsn, schema="app", package=package.write(v0001_things=_THINGS)) == 1
    assert await migrate(empty_dsn, schema="app", package=package.write(v0002_notes=_NOTES)) == 2
    await connection.execute("insert into app.things (id, note) values (1, 'x')")


async def test_a_failing_file_leaves_nothing_of_itself_and_all_before_it(
    empty_dsn: str, package: Package, connection: asyncpg.Connection
) -> None:
    package.write(v0001_things=_THINGS, v0002_notes=f"{_NOTES} select 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError) as caught:
        await migrate(empty_dsn, schema="app", package=package.name)
    assert caught.value.__notes__ == ["in migration 0002_notes of schema app"]
    columns = await connection.fetch(
        "select attname from pg_attribute where attrelid = 'app.things'::regclass and attnum > 0"
    )
    assert [row["attname"] for row in columns] == ["id"]
    assert await connection.fetchval("select max(version) from app.migrations") == 1
    package.write(v0002_notes=_NOTES)
    assert await migrate(empty_dsn, schema="app", package=package.name) == 2


async def test_a_name_without_its_schema_fails(empty_dsn: str, package: Package) -> None:
    with pytest.raises(asyncpg.InvalidSchemaNameError):
        await migrate(empty_dsn, schema="app", package=package.write(v0001_things="create table things ();"))


async def test_a_file_that_changed_after_it_was_applied_is_refused(empty_dsn: str, package: Package) -> None:
    await migrate(empty_dsn, schema="app", package=package.write(v0001_things=_THINGS))
    package.write(v0001_things=_THINGS + " -- changed")
    for mode in ("auto", "check"):
        with pytest.raises(FailedPrecondition, match="0001_things was changed") as caught:
            await migrate(empty_dsn, schema="app", package=package.name, mode=mode)
        assert caught.value.reason == "MIGRATION_CHANGED"


async def test_line_ends_are_no_change(empty_dsn: str, package: Package) -> None:
    await migrate(empty_dsn, schema="app", package=package.write(v0001_things="-- why\ncreate table app.t ();\n"))
    package.write(v0001_things="-- why\r\ncreate table app.t ();")
    assert await migrate(empty_dsn, schema="app", package=package.name) == 1


async def test_a_file_that_slipped_in_below_is_refused(empty_dsn: str, package: Package) -> None:
    await migrate(empty_dsn, schema="app", package=package.write(v0002_things=_THINGS))
    package.write(v0001_late="create table app.late ();")
    with pytest.raises(FailedPrecondition, match="0001_late slipped in below 2"):
        await migrate(empty_dsn, schema="app", package=package.name)


async def test_a_schema_that_is_newer_than_the_code_is_fine(empty_dsn: str, package: Package) -> None:
    await migrate(empty_dsn, schema="app", package=package.write(v0001_things=_THINGS, v0002_notes=_NOTES))
    package.remove("0002_notes")
    assert await migrate(empty_dsn, schema="app", package=package.name, mode="check") == 2
    assert await migrate(empty_dsn, schema="app", package=package.name) == 2


async def test_check_refuses_an_older_schema_and_changes_nothing(
    empty_dsn: str, package: Package, connection: asyncpg.Connection
) -> None:
    package.write(v0001_things=_THINGS)
    with pytest.raises(FailedPrecondition, match="at version 0, this code needs 1") as caught:
        await migrate(empty_dsn, schema="app", package=package.name, mode="check")
    assert caught.value.reason == "SCHEMA_TOO_OLD"
    assert await connection.fetchval("select to_regnamespace('app') is null")
    await migrate(empty_dsn, schema="app", package=package.name)
    assert await migrate(empty_dsn, schema="app", package=package.name, mode="check") == 1
    package.write(v0002_notes=_NOTES)
    with pytest.raises(FailedPrecondition, match="at version 1, this code needs 2"):
        await migrate(empty_dsn, schema="app", package=package.name, mode="check")


async def test_two_schemas_in_one_database_know_nothing_of_each_other(empty_dsn: str, package: Package) -> None:
    package.write(
        v0001_table="do $$ begin execute format('create table %I.t ()', current_setting('wakepoint.schema')); end $$;"
    )
    assert await migrate(empty_dsn, schema="trigger", package=package.name) == 1
    assert await migrate(empty_dsn, schema="runner", package=package.name) == 1


async def test_many_replicas_that_start_together_apply_each_file_once(
    empty_dsn: str, package: Package, connection: asyncpg.Connection
) -> None:
    files = {f"v{n:04}_more": f"create table app.t{n} (); select pg_sleep(0.01);" for n in range(1, 9)}
    package.write(**files)
    versions = await asyncio.gather(*(migrate(empty_dsn, schema="app", package=package.name) for _ in range(16)))
    assert versions == [8] * 16
    assert await connection.fetchval("select count(*) from app.migrations") == 8


async def test_a_migration_steps_back_from_a_lock_and_lets_others_through(
    empty_dsn: str, package: Package, connection: asyncpg.Connection, manual_clock: ManualClock
) -> None:
    await migrate(empty_dsn, schema="app", package=package.write(v0001_things=_THINGS))
    package.write(v0002_notes=_NOTES)
    reader = await asyncpg.connect(empty_dsn)
    long_transaction = connection.transaction()
    await long_transaction.start()
    await connection.fetch("select * from app.things")
    running = asyncio.create_task(migrate(empty_dsn, schema="app", package=package.name, clock=manual_clock))
    await eventually(lambda: lock_waiters(reader))
    # Queued behind the waiting migration, and through before the long transaction ends.
    assert await asyncio.wait_for(reader.fetch("select * from app.things"), 10) == []
    await eventually(lambda: manual_clock.waiting)
    await long_transaction.rollback()
    await manual_clock.advance(1)
    assert await running == 2
    await reader.close()


async def test_a_migration_gives_up_when_its_patience_ends(
    empty_dsn: str, package: Package, connection: asyncpg.Connection, manual_clock: ManualClock
) -> None:
    await migrate(empty_dsn, schema="app", package=package.write(v0001_things=_THINGS))
    package.write(v0002_notes=_NOTES)
    async with connection.transaction():
        await connection.fetch("select * from app.things")
        with pytest.raises(Aborted) as caught:
            await migrate(empty_dsn, schema="app", package=package.name, patience=0, clock=manual_clock)
    assert caught.value.reason == "LOCK_TIMEOUT"
    assert await migrate(empty_dsn, schema="app", package=package.name) == 2


async def test_an_owner_without_the_right_to_create_schemas_migrates_its_own(owner_dsn: str, package: Package) -> None:
    package.write(v0001_things=_THINGS)
    assert await migrate(owner_dsn, schema="app", package=package.name) == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await migrate(owner_dsn, schema="other", package=package.name)


async def test_a_database_that_is_away_is_unavailable(package: Package) -> None:
    with pytest.raises(Unavailable):
        await migrate("postgresql://127.0.0.1:1/db", schema="app", package=package.write(v0001_things=_THINGS))


@pytest.mark.parametrize("files", [{"v1_things": ""}, {"v0001_Things": ""}, {"v0001_a": "", "v0001_b": ""}], ids=str)
def test_misnamed_files_are_refused(package: Package, files: Files) -> None:
    with pytest.raises(ValueError, match=r"is not of the form NNNN_name\.sql"):
        load(package.write(**files))


async def test_a_schema_name_is_a_plain_name(package: Package) -> None:
    with pytest.raises(ValueError, match="plain schema name"):
        await migrate("postgresql://127.0.0.1:1/db", schema='app"; drop', package=package.write(v0001_a=""))
