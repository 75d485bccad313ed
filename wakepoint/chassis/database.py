"""The pool, and the only doors to it: `transaction`, `run` and `connection`. Driver errors leave them as ours."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self, TypeAlias, TypeVar

import asyncpg

from wakepoint.chassis import driver
from wakepoint.chassis.clock import Clock, SystemClock
from wakepoint.chassis.errors import CommitUnknown, TransactionConflict

T = TypeVar("T")

Connection: TypeAlias = driver.AnyConnection
"""What storage functions take: a connection inside a transaction, or one in autocommit."""

_ATTEMPTS = 5
_FIRST_BACKOFF_SECONDS = 0.005
_ACQUIRE_TIMEOUT_SECONDS = 15.0


class Database:
    """One pool of connections to one service's schema.

    Pooled connections keep no session state: no SET (only SET LOCAL), no session advisory lock, no LISTEN, no temporary
    table. That spares the reset query after each use, and is what pgbouncer needs anyway.
    """

    def __init__(self, pool: asyncpg.Pool, clock: Clock, rng: random.Random) -> None:
        self._pool = pool
        self._clock = clock
        self._rng = rng

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        application_name: str,
        min_size: int = 2,
        max_size: int = 10,
        command_timeout: float = 30.0,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> Self:
        """Connect. `command_timeout`: seconds until a statement is given up. Unavailable when the server is away."""
        target = driver.Target.parse(dsn)
        try:
            pool = await asyncpg.create_pool(
                target.dsn,
                min_size=min_size,
                max_size=max_size,
                connection_class=driver.CheckedConnection,
                init=driver.prepare_connection,
                reset=_keep_session,
                timeout=driver.CONNECT_TIMEOUT_SECONDS,
                command_timeout=command_timeout,
                statement_cache_size=target.statement_cache_size,
                server_settings=target.server_settings(application_name),
            )
        except Exception as error:
            ours = driver.translate(error)
            if ours is None or driver.is_refused_setting(error):
                raise
            raise ours from error
        return cls(pool, clock or SystemClock(), rng or random.SystemRandom())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One READ COMMITTED transaction: committed at the end of the block, rolled back when the block raises.

        Do no other I/O in the block. Raises Unavailable, TransactionConflict, InvalidArgument (a value the database
        refuses), ResourceExhausted; CommitUnknown when nobody can say whether it was committed. Errors of constraints
        (SQLSTATE class 23) and of wrong SQL stay asyncpg's.
        """
        async with (
            self._acquired() as connection,
            _committed(connection, connection.transaction(isolation="read_committed")),
        ):
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A transaction whose statements all see one moment; it can change nothing. Errors as in `transaction`."""
        async with (
            self._acquired() as connection,
            _committed(connection, connection.transaction(isolation="repeatable_read", readonly=True)),
        ):
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit: each statement is a transaction of its own. Errors as in `transaction`."""
        async with self._acquired() as connection:
            yield connection

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do `work` in a transaction, and all of it again (at most 5 times) when Postgres breaks a deadlock with it.

        `work` must have no effect but through its connection. Everything else is raised at once.
        """
        for attempt in range(_ATTEMPTS - 1):
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except TransactionConflict:
                await self._clock.sleep(self._rng.uniform(0, _FIRST_BACKOFF_SECONDS * 4**attempt))
        async with self.transaction() as connection:
            return await work(connection)

    async def ping(self) -> None:
        """Ask the server for a sign of life; Unavailable when there is none. For readiness."""
        async with self.connection() as connection:
            await connection.execute("select 1", timeout=5.0)

    async def close(self) -> None:
        """Give the connections back; those that are still busy after ten seconds are cut."""
        try:
            await self._clock.wait_for(self._pool.close(), timeout=10.0)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        connection = await self._acquire()
        try:
            yield connection
        except asyncio.CancelledError:
            driver.interrupt(connection)
            raise
        except Exception as error:
            driver.interrupt(connection)
            ours = driver.translate(error, connection)
            if ours is None:
                raise
            raise ours from error
        finally:
            # What was committed stays committed: trouble in giving the connection back is the pool's alone.
            with suppress(Exception):
                await self._pool.release(connection)

    async def _acquire(self) -> asyncpg.pool.PoolConnectionProxy:
        try:
            return await self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_SECONDS)
        except Exception as error:
            # A pool that is closing says so with an InterfaceError.
            closing = type(error) is asyncpg.InterfaceError
            ours = driver.unavailable() if closing else driver.translate(error)
            if ours is None:
                raise
            raise ours from error


@asynccontextmanager
async def _committed(
    connection: asyncpg.pool.PoolConnectionProxy, transaction: asyncpg.transaction.Transaction
) -> AsyncIterator[None]:
    await transaction.start()
    try:
        yield
    except BaseException:
        # A connection that is gone has rolled back already; the first error is the one to tell.
        with suppress(Exception):
            await transaction.rollback()
        raise
    await _commit(transaction, connection)


async def _commit(transaction: asyncpg.transaction.Transaction, connection: asyncpg.pool.PoolConnectionProxy) -> None:
    if driver.is_dead(connection):
        # It was never sent, so this outcome is known.
        raise driver.unavailable()
    try:
        await transaction.commit()
    except Exception as error:
        if driver.is_lost(error, connection):
            raise CommitUnknown("the database went away during the commit") from error
        raise


async def _keep_session(connection: asyncpg.Connection) -> None:
    """Takes the place of asyncpg's reset query; a transaction left open is rolled back by the driver before this."""
    if isinstance(connection, driver.CheckedConnection):
        await connection.settle()
