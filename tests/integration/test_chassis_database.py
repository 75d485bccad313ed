# ruff: noqa: PT012 -- what is tested is the error that leaves a whole transaction block
import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from tests.support.conditions import eventually
from tests.support.postgres import lock_waiters
from tests.support.proxy import Proxy, proxied
from wakepoint.chassis import driver
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import (
    Aborted,
    CommitUnknown,
    InvalidArgument,
    ResourceExhausted,
    TransactionConflict,
    Unavailable,
)
from wakepoint.chassis.ids import new_id


@pytest.fixture
async def database(empty_dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(empty_dsn, application_name="test", max_size=4)
    async with opened.connection() as connection:
        await connection.execute("create table things (id uuid primary key, body jsonb, note text)")
    yield opened
    await opened.close()


@pytest.fixture
async def proxy(empty_dsn: str) -> AsyncIterator[Proxy]:
    async with proxied(empty_dsn) as made:
        yield made


@pytest.fixture
async def far(proxy: Proxy, database: Database) -> AsyncIterator[Database]:
    """The same database, behind a network that breaks."""
    opened = await Database.open(proxy.dsn, application_name="far", min_size=0, max_size=2)
    yield opened
    await opened.close()


async def _count(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("select count(*) from things"))


async def _insert(connection: Connection, note: str = "") -> str:
    thing = new_id()
    await connection.execute("insert into things (id, note) values ($1, $2)", thing, note)
    return thing


async def test_a_transaction_commits_at_its_end_and_rolls_back_on_any_error(database: Database) -> None:
    async with database.transaction() as connection:
        await _insert(connection)
    with pytest.raises(LookupError):
        async with database.transaction() as connection:
            await _insert(connection)
            raise LookupError
    assert await _count(database) == 1


async def test_a_cancelled_transaction_leaves_nothing_and_gives_its_connection_back(database: Database) -> None:
    async def work() -> None:
        async with database.transaction() as connection:
            await _insert(connection)
            await connection.execute("select pg_sleep(60)")

    for _ in range(6):  # more than the pool has
        task = asyncio.create_task(work())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await _count(database) == 0


async def test_transactions_are_read_committed_whatever_the_server_defaults_to(
    database: Database, empty_dsn: str
) -> None:
    async with database.connection() as connection:
        name = await connection.fetchval("select current_database()")
        statement = await connection.fetchval(
            "select format('alter database %I set default_transaction_isolation = serializable', $1::text)", name
        )
        await connection.execute(statement)
    later = await Database.open(empty_dsn, application_name="test", min_size=1)
    async with later.connection() as connection:
        assert await connection.fetchval("show default_transaction_isolation") == "serializable"
    async with later.transaction() as connection:
        assert await connection.fetchval("show transaction_isolation") == "read committed"
    await later.close()


async def test_json_columns_and_parameters_are_plain_values(database: Database) -> None:
    body = {"n": 1, "f": 1.5, "text": "ä😀", "list": [None, True, {}], "big": 2**70}
    async with database.transaction() as connection:
        await connection.execute("insert into things (id, body) values ($1, $2)", new_id(), body)
        assert await connection.fetchval("select body from things") == body
        assert await connection.fetchval("select $1::json", [1, "x"]) == [1, "x"]
        assert await connection.fetchval("select $1::jsonb is null", None) is True
        assert await connection.fetchval("select array[$1::jsonb, $2]", {"a": 1}, 2) == [{"a": 1}, 2]
        assert await connection.fetchval("select $1::jsonb[]", [{"a": 1}, "b"]) == [{"a": 1}, "b"]


async def test_ids_go_in_as_text_and_come_out_as_uuids_also_in_arrays(database: Database) -> None:
    ids = [new_id(), new_id()]
    async with database.connection() as connection:
        await connection.executemany("insert into things (id) values ($1)", [(thing,) for thing in ids])
        rows = await connection.fetch("select id from things where id = any($1::uuid[]) order by id", ids)
    assert [row["id"] for row in rows] == [UUID(thing) for thing in ids]
    assert [str(row["id"]) for row in rows] == ids


async def test_times_are_aware_utc(database: Database) -> None:
    moment = datetime(2026, 11, 22, 6, 3, tzinfo=UTC)
    async with database.connection() as connection:
        found = await connection.fetchval("select $1::timestamptz", moment)
        assert (found, found.tzinfo) == (moment, UTC)
        assert await connection.fetchval("show timezone") == "UTC"
        assert await connection.fetchval("show application_name") == "test"
        assert await connection.fetchval("show idle_in_transaction_session_timeout") == "10s"


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("select $1::text", "nul\x00"),
        ("select $1::text", "\ud800"),
        ("select $1::jsonb", {"a": "nul\x00"}),
        ("select $1::jsonb", {"a": float("nan")}),
        ("select $1::jsonb", {"a": "\udfff"}),
        ("select $1::uuid", "not an id"),
        ("select $1::int4", 2**40),
        ("select $1::text::date", "2026-02-30"),
    ],
)
async def test_a_value_that_cannot_be_stored_is_an_invalid_argument(
    database: Database, query: str, value: object
) -> None:
    with pytest.raises(InvalidArgument):
        async with database.transaction() as connection:
            await connection.fetchval(query, value)
    assert await _count(database) == 0


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("40001", TransactionConflict),
        ("40P01", TransactionConflict),
        ("55P03", Aborted),
        ("22012", InvalidArgument),
        ("53100", ResourceExhausted),
        ("54000", ResourceExhausted),
        ("53300", Unavailable),
        ("57014", Unavailable),
        ("25006", Unavailable),
        ("08006", Unavailable),
        ("23505", asyncpg.UniqueViolationError),
        ("42P01", asyncpg.UndefinedTableError),
        ("P0001", asyncpg.RaiseError),
    ],
)
async def test_each_sqlstate_leaves_as_the_error_it_means(
    database: Database, sqlstate: str, kind: type[Exception]
) -> None:
    block = f"do $$ begin raise exception 'made up' using errcode = '{sqlstate}'; end $$"
    with pytest.raises(kind) as caught:
        async with database.transaction() as connection:
            await connection.execute(block)
    assert type(caught.value) is kind
    assert driver.sqlstate_of(caught.value) == sqlstate


async def test_inside_the_block_the_drivers_errors_are_seen_and_a_savepoint_contains_them(database: Database) -> None:
    async with database.transaction() as connection:
        thing = await _insert(connection)
        with pytest.raises(asyncpg.UniqueViolationError) as caught:
            async with connection.transaction():
                await connection.execute("insert into things (id) values ($1)", thing)
        assert driver.constraint_of(caught.value) == "things_pkey"
        await _insert(connection)
    assert await _count(database) == 2


async def test_an_error_that_only_the_commit_finds_is_told(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("alter table things add column parent uuid references things deferrable")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with database.transaction() as connection:
            await connection.execute("set constraints all deferred")
            await connection.execute("insert into things (id, parent) values ($1, $2)", new_id(), new_id())
    assert await _count(database) == 0


async def test_a_swallowed_error_does_not_turn_the_commit_into_a_silent_rollback(database: Database) -> None:
    with pytest.raises(asyncpg.InFailedSQLTransactionError, match="nothing was committed"):
        async with database.transaction() as connection:
            thing = await _insert(connection)
            with suppress(asyncpg.UniqueViolationError):
                await connection.execute("insert into things (id) values ($1)", thing)
    assert await _count(database) == 0


async def test_a_lost_answer_to_the_commit_is_an_unknown_outcome(
    far: Database, proxy: Proxy, database: Database
) -> None:
    with pytest.raises(CommitUnknown):
        async with far.transaction() as connection:
            await _insert(connection)
            proxy.lose_answer(b"COMMIT")
    assert await _count(database) == 1


async def test_a_commit_that_never_arrived_is_an_unknown_outcome_too(
    far: Database, proxy: Proxy, database: Database
) -> None:
    with pytest.raises(CommitUnknown):
        async with far.transaction() as connection:
            await _insert(connection)
            proxy.drop_request(b"COMMIT")
    assert await _count(database) == 0


async def test_a_connection_lost_before_the_commit_is_plainly_unavailable(
    far: Database, proxy: Proxy, database: Database
) -> None:
    with pytest.raises(Unavailable) as caught:
        async with far.transaction() as connection:
            await _insert(connection)
            proxy.cut()
            await _insert(connection)
    assert not isinstance(caught.value, CommitUnknown)
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    assert await _count(database) == 0


async def test_the_pool_finds_its_way_back_when_the_database_does(far: Database, proxy: Proxy) -> None:
    await far.ping()
    proxy.cut()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await far.ping()
    proxy.mend()
    await far.ping()
    assert await _count(far) == 0


async def test_a_connection_that_the_server_ended_in_a_pause_is_unavailable_at_the_commit(database: Database) -> None:
    with pytest.raises(Unavailable) as caught:
        async with database.transaction() as connection:
            await _insert(connection)
            pid = await connection.fetchval("select pg_backend_pid()")
            async with database.connection() as other:
                await other.execute("select pg_terminate_backend($1, 5000)", pid)
            await eventually(lambda: driver.is_dead(connection))
    assert not isinstance(caught.value, CommitUnknown)
    assert await _count(database) == 0


async def test_a_terminated_backend_is_unavailable(database: Database) -> None:
    with pytest.raises(Unavailable):
        async with database.transaction() as connection:
            await connection.execute("select pg_terminate_backend(pg_backend_pid())")
    await database.ping()


async def test_a_statement_that_never_answers_is_given_up(proxy: Proxy, database: Database) -> None:
    slow = await Database.open(proxy.dsn, application_name="slow", min_size=0, max_size=1, command_timeout=0.2)
    with pytest.raises(Unavailable):
        async with slow.connection() as connection:
            await connection.execute("select pg_sleep(60)")
    await slow.close()


async def test_a_server_that_is_away_is_unavailable_from_the_start() -> None:
    with pytest.raises(Unavailable) as caught:
        await Database.open("postgresql://u:hunter2@127.0.0.1:1/db", application_name="test")
    assert "hunter2" not in str(caught.value)


async def test_a_closed_pool_is_unavailable(empty_dsn: str) -> None:
    database = await Database.open(empty_dsn, application_name="test")
    await database.close()
    with pytest.raises(Unavailable):
        await database.ping()


async def test_a_deadlock_is_repeated_until_both_transactions_are_through(database: Database) -> None:
    async with database.transaction() as connection:
        first, second = await _insert(connection), await _insert(connection)
    both_hold_one = asyncio.Barrier(2)
    attempts: list[str] = []

    async def touch(connection: Connection, order: list[str]) -> None:
        attempts.append(order[0])
        update = "update things set note = note || 'x' where id = $1"
        await connection.execute(update, order[0])
        if len(attempts) <= 2:
            await both_hold_one.wait()
        await connection.execute(update, order[1])

    await asyncio.gather(
        database.run(lambda connection: touch(connection, [first, second])),
        database.run(lambda connection: touch(connection, [second, first])),
    )
    assert len(attempts) == 3
    async with database.connection() as connection:
        assert await connection.fetchval("select string_agg(note, ',') from things") == "xx,xx"


async def test_conflicts_are_repeated_five_times_at_most(empty_dsn: str, manual_clock: ManualClock) -> None:
    database = await Database.open(
        empty_dsn, application_name="test", min_size=1, clock=manual_clock, rng=random.Random(1)
    )
    attempts: list[int] = []

    async def conflict(connection: Connection) -> None:
        attempts.append(1)
        await connection.execute("do $$ begin raise exception 'x' using errcode = '40001'; end $$")

    running = asyncio.create_task(database.run(conflict))

    async def _moved() -> bool:
        await manual_clock.advance(1)
        return running.done()

    await eventually(_moved)
    with pytest.raises(TransactionConflict):
        await running
    assert len(attempts) == 5
    await database.close()


async def test_an_etag_that_does_not_match_is_not_repeated(database: Database) -> None:
    attempts: list[int] = []

    async def stale(connection: Connection) -> None:
        attempts.append(1)
        raise Aborted("the etag is stale")

    with pytest.raises(Aborted):
        await database.run(stale)
    assert len(attempts) == 1


async def test_a_plan_that_a_migration_outdated_is_a_conflict_that_run_repeats(database: Database) -> None:
    async def read(connection: Connection) -> list[str]:
        rows = await connection.fetch("select * from things")
        return list(rows[0].keys())

    async with database.transaction() as connection:
        await _insert(connection)
    # Every connection of the pool learns the plan.
    await asyncio.gather(*(database.run(read) for _ in range(4)))
    async with database.connection() as connection:
        await connection.execute("alter table things add column later text")
    for _ in range(4):
        assert await database.run(read) == ["id", "body", "note", "later"]


async def test_a_frozen_process_loses_its_transaction_and_with_it_the_row_locks(database: Database) -> None:
    async with database.transaction() as connection:
        thing = await _insert(connection)
    with pytest.raises(Unavailable):
        async with database.transaction() as holder:
            # As in production, only sooner.
            await holder.execute("set local idle_in_transaction_session_timeout = '100ms'")
            await holder.execute("select * from things where id = $1 for update", thing)

            async with database.transaction() as other:
                lock = asyncio.create_task(other.fetch("select * from things where id = $1 for update", thing))
                async with database.connection() as watcher:
                    await eventually(lambda: _waits(watcher))
                assert len(await lock) == 1
            await holder.execute("select 1")


async def _waits(watcher: Connection) -> bool:
    return bool(await lock_waiters(watcher))


async def test_behind_a_pooler_nothing_is_prepared_and_nothing_odd_is_asked_for(empty_dsn: str) -> None:
    dsn = empty_dsn + ("&" if "?" in empty_dsn else "?") + "statement_cache_size=0"
    database = await Database.open(dsn, application_name="pooled")
    async with database.connection() as connection:
        assert await connection.fetchval("select $1::jsonb", {"a": [1]}) == {"a": [1]}
        assert await connection.fetchval("select count(*) from pg_prepared_statements where name <> ''") == 0
        assert await connection.fetchval("show idle_in_transaction_session_timeout") == "0"
        assert await connection.fetchval("show application_name") == "pooled"
    await database.close()


@pytest.mark.parametrize(
    ("dsn", "kept", "pooled"),
    [
        ("postgresql:///db?host=/tmp/a", "postgresql:///db?host=/tmp/a", False),
        ("postgresql:///db?statement_cache_size=0&host=/tmp/a", "postgresql:///db?host=/tmp/a", True),
        ("postgresql://u:p%20w@h/db?statement_cache_size=0", "postgresql://u:p%20w@h/db", True),
        ("postgresql://h/db?statement_cache_size=100", "postgresql://h/db", False),
        (
            "postgresql://a,b/db?target_session_attrs=read-write",
            "postgresql://a,b/db?target_session_attrs=read-write",
            False,
        ),
    ],
)
def test_the_cache_size_is_taken_out_of_the_dsn_and_the_rest_stays(dsn: str, kept: str, pooled: bool) -> None:
    assert driver.Target.parse(dsn) == driver.Target(kept, pooled)


def test_a_driver_in_disorder_means_a_lost_connection_but_an_outdated_cache_only_a_conflict() -> None:
    # Which of the two a farewell of the server meets is a race, so both are shown here without one.
    assert isinstance(driver.translate(asyncpg.InternalClientError("another operation is in progress")), Unavailable)
    assert isinstance(driver.translate(asyncpg.OutdatedSchemaCacheError("x")), TransactionConflict)
    assert driver.translate(LookupError("ours")) is None
    assert driver.translate(Aborted("ours")) is None


def test_a_setting_that_a_pooler_refuses_is_not_taken_for_a_server_that_is_away() -> None:
    refused = asyncpg.ProtocolViolationError("unsupported startup parameter: jit")
    assert driver.is_refused_setting(refused)
    assert refused.__notes__ == ["behind pgbouncer in transaction mode, add statement_cache_size=0 to the DSN's query"]
    assert not driver.is_refused_setting(asyncpg.ProtocolViolationError("server conn crashed?"))


def test_stored_json_is_compact_and_keeps_its_characters() -> None:
    assert driver.encode_json({"a": ["ä", 1]}) == '{"a":["ä",1]}'
    assert json.loads(driver.encode_json("\x7f")) == "\x7f"
