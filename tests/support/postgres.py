"""One Postgres for the whole session, and a fresh migrated database of it for every test.

A worker of pytest-xdist is a session of its own, so nothing here is shared between workers: each starts its own server,
or, on an external one, works in databases whose names carry a random token.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

T = TypeVar("T")


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on a loop of its own in another thread, so that a synchronous fixture can at any time."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def with_database(dsn: str, database: str) -> str:
    """The same server and user as `dsn`, another database."""
    parts = urlsplit(dsn)
    # Put together by hand: urlunsplit drops the slashes of a DSN whose host is a socket's folder.
    return f"{parts.scheme}://{parts.netloc}/{database}" + (f"?{parts.query}" if parts.query else "")


async def _admin(dsn: str, statement: str, *names: str) -> None:
    """Runs a statement of the kind that takes no parameters. Postgres itself quotes the names that go into %I."""
    connection = await asyncpg.connect(dsn)
    try:
        quoted = await connection.fetchval("select format($1::text, variadic $2::text[])", statement, names)
        await connection.execute(quoted)
    finally:
        await connection.close()


class Postgres:
    """A server to make databases on. `admin_dsn` leads to its maintenance database, as a user who may create others."""

    def __init__(self, admin_dsn: str) -> None:
        self.admin_dsn = admin_dsn
        self._token = secrets.token_hex(4)
        self._made = 0

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The DSN of a new copy of a template database that nobody is connected to; dropped at the end."""
        self._made += 1
        name = f"wakepoint_test_{self._token}_{self._made}"
        run_apart(_admin(self.admin_dsn, "create database %I template %I", name, template))
        try:
            yield with_database(self.admin_dsn, name)
        finally:
            run_apart(_admin(self.admin_dsn, "drop database %I with (force)", name))


def database_of(dsn: str) -> str:
    """The name of the database that a DSN leads to."""
    return urlsplit(dsn).path.lstrip("/")


async def lock_waiters(connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) -> list[int]:
    """The backend pids that wait for a lock in this connection's database, at this moment."""
    rows = await connection.fetch(
        "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' order by pid"
    )
    return [row["pid"] for row in rows]
