from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from tests.support.db_clock import set_clock_offset

_PAGE = Path(__file__).parents[2] / "docs" / "decisions" / "database-clock.md"
_DAY = timedelta(days=1)


def _documented() -> str:
    """The functions as the page tells services to define them."""
    snippet = _PAGE.read_text(encoding="utf-8").split("```sql\n")[1].split("```")[0]
    return "create schema runner; " + snippet.replace("SCHEMA", "runner")


@pytest.fixture
async def connection(empty_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(empty_dsn)
    await opened.execute(_documented())
    yield opened
    await opened.close()


async def test_without_an_offset_they_are_the_servers_time(connection: asyncpg.Connection) -> None:
    row = await connection.fetchrow(
        "select clock_timestamp() a, runner.stamp() b, clock_timestamp() c, runner.as_of() = statement_timestamp() same"
    )
    assert row is not None
    assert row["a"] <= row["b"] <= row["c"]
    assert row["same"]


@pytest.mark.parametrize("days", [400, -3])
async def test_moving_time_reaches_every_connection_and_every_cached_plan(
    connection: asyncpg.Connection, empty_dsn: str, days: int
) -> None:
    other = await asyncpg.connect(empty_dsn)
    ahead = "select runner.as_of() - statement_timestamp() a, date_trunc('day', runner.stamp() - clock_timestamp()) b"
    for _ in range(10):  # from the sixth on Postgres keeps the plan
        assert await other.fetchval(ahead) == timedelta(0)
    await set_clock_offset(connection, "runner", timedelta(days=days, hours=1))
    for session in (connection, other):
        row = await session.fetchrow(ahead)
        assert row is not None
        assert row["a"] == timedelta(days=days, hours=1)
        assert abs(row["b"] - timedelta(days=days)) <= _DAY
    await set_clock_offset(connection, "runner", timedelta(0))
    assert await other.fetchval(ahead) == timedelta(0)
    await other.close()


async def test_a_stamp_moves_within_a_transaction_and_the_comparison_time_within_none_of_its_statements(
    connection: asyncpg.Connection,
) -> None:
    async with connection.transaction():
        first = await connection.fetchval("select runner.stamp()")
        second, as_of, later_as_of = await connection.fetchrow(  # type: ignore[misc]
            "select runner.stamp(), runner.as_of(), (select runner.as_of() from pg_sleep(0.01))"
        )
    assert second > first
    assert as_of == later_as_of


async def test_a_comparison_with_as_of_uses_the_index(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "create table runner.timers as select now() + i * interval '1 minute' due from generate_series(1, 10000) i;"
        "create index timers_due on runner.timers (due); analyze runner.timers"
    )
    plan = "\n".join(
        row[0] for row in await connection.fetch("explain select 1 from runner.timers where due <= runner.as_of()")
    )
    assert "Index Cond: (due <= (statement_timestamp() + '00:00:00'::interval))" in plan
