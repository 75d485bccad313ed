"""Transactions of several real connections, interleaved step by step, as Postgres's own isolation tester does it.

A step is a statement of the code under test, or its commit. A session whose statement waits for a lock stays behind
until the lock is free; what it has missed it does then.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from tests.support.conditions import eventually
from tests.support.postgres import lock_waiters
from wakepoint.chassis.database import Connection, Database

T = TypeVar("T")

COMMIT = "commit"


class Session:
    """One of the sessions: a Database whose transactions stop before each step. `stops`: the names of the statements
    that are steps; None: all of them. The commit always is one.
    """

    def __init__(self, database: Database, stops: Collection[str] | None = None) -> None:
        self._database = database
        self._stops = stops
        self._permits = asyncio.Semaphore(0)
        self._task: asyncio.Task[Any] | None = None
        self.pid = 0
        self.at_gate = False
        self.steps: list[str] = []

    @property
    def resting(self) -> bool:
        """Whether it waits for its next permit, or has finished."""
        return self.at_gate or self.done

    @property
    def done(self) -> bool:
        return self._task is not None and self._task.done()

    def begin(self, work: Callable[[Database], Awaitable[Any]]) -> None:
        """Let `work` run up to its first step."""

        async def whole() -> Any:
            return await work(cast(Database, self))

        self._task = asyncio.create_task(whole())

    def permit(self) -> None:
        """Let it do its next step."""
        self.at_gate = False
        self._permits.release()

    async def result(self) -> Any:
        assert self._task is not None
        return await self._task

    async def gate(self, step: str) -> None:
        """Wait until the next step may be done."""
        if step == COMMIT or self._stops is None or step in self._stops:
            self.steps.append(step)
            self.at_gate = True
            await self._permits.acquire()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """As Database has it."""
        async with self._database.transaction() as connection:
            self.pid = await connection.fetchval("select pg_backend_pid()")
            yield cast(Connection, _Gated(connection, self))
            await self.gate(COMMIT)

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """As Database has it, but once."""
        async with self.transaction() as connection:
            return await work(connection)


class _Gated:
    def __init__(self, connection: Connection, session: Session) -> None:
        self._connection = connection
        self._session = session

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def statement(query: str, *values: Any) -> Any:
            await self._session.gate(query.split("\n", 1)[0].removeprefix("-- "))
            return await getattr(self._connection, name)(query, *values)

        return statement


def orders(lengths: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """Every interleaving of sessions with so many steps."""
    if not any(lengths.values()):
        yield ()
    for name, length in lengths.items():
        if length:
            for rest in orders({**lengths, name: length - 1}):
                yield (name, *rest)


async def play(
    database: Database, sessions: Mapping[str, Session], works: Mapping[str, Any], order: Sequence[str]
) -> dict[str, Any]:
    """Run the sessions in the order of `order`, as far as locks allow it; their results by name."""
    for name, session in sessions.items():
        session.begin(works[name])
        await _settled(database, [session])
    missed = [name for name in order if not await _step(database, sessions, name)]

    async def all_done() -> bool:
        # A session that was seen waiting for a lock may have got it since: whoever is at a gate goes on.
        for name in (*missed, *sessions):
            await _step(database, sessions, name)
        return all(session.done for session in sessions.values())

    await eventually(all_done)
    return {name: await session.result() for name, session in sessions.items()}


async def _step(database: Database, sessions: Mapping[str, Session], name: str) -> bool:
    session = sessions[name]
    if not session.at_gate:
        return session.done
    session.permit()
    await _settled(database, sessions.values())
    return True


async def _settled(database: Database, sessions: Collection[Session]) -> None:
    """Until everybody rests, or waits for a lock."""
    end = time.monotonic() + 10
    while moving := [session for session in sessions if not session.resting]:
        async with database.connection() as connection:
            blocked = set(await lock_waiters(connection))
        if all(session.resting or session.pid in blocked for session in moving):
            return
        assert time.monotonic() < end, "a session neither rests nor waits for a lock"
        await asyncio.sleep(0.001)
