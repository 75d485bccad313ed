"""What the other tests rely on: a database of their own, and seeing who waits for a lock."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.conditions import eventually
from tests.support.postgres import Postgres, database_of, lock_waiters, run_apart


@pytest.fixture
async def connections(empty_dsn: str) -> AsyncIterator[list[asyncpg.Connection]]:
    opened = [await asyncpg.connect(empty_dsn) for _ in range(3)]
    yield opened
    for connection in opened:
        await connection.close()


async def _databases(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return {row["datname"] for row in await connection.fetch("select datname from pg_database")}
    finally:
        await connection.close()


async def test_who_waits_for_a_lock_is_seen_by_pid(connections: list[asyncpg.Connection]) -> None:
    holder, waiter, watcher = connections
    await holder.execute("create table t (i int)")
    assert await lock_waiters(watcher) == []
    async with asyncio.TaskGroup() as group, holder.transaction():
        await holder.execute("lock table t")
        group.create_task(waiter.execute("select * from t"))
        pids = await eventually(lambda: lock_waiters(watcher))
    assert pids == [waiter.get_server_pid()]


async def test_a_database_is_gone_after_its_test_even_if_someone_is_still_connected(postgres: Postgres) -> None:
    with postgres.database() as dsn:
        assert database_of(dsn) in await _databases(postgres.admin_dsn)
        left_open = await asyncpg.connect(dsn)
    assert database_of(dsn) not in await _databases(postgres.admin_dsn)
    await eventually(left_open.is_closed)


def test_a_copy_has_what_its_template_has_and_the_template_not_what_the_copy_has(postgres: Postgres) -> None:
    async def run(dsn: str, statement: str) -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    with postgres.database() as original:
        run_apart(run(original, "create table t as select 1 as i"))
        with postgres.database(template=database_of(original)) as copy:
            run_apart(run(copy, "insert into t values (2)"))
            assert run_apart(run(copy, "select count(*) from t")) == 2
        assert run_apart(run(original, "select count(*) from t")) == 1
