"""A caller who is cancelled in the middle of a statement leaves nothing behind on its connection."""

import asyncio
import random

from wakepoint.chassis.database import Database

ROUNDS = 400


async def test_a_statement_that_is_cancelled_between_its_preparation_and_its_execution_keeps_no_lock(
    empty_dsn: str,
) -> None:
    database = await Database.open(empty_dsn, application_name="interrupted", min_size=2, max_size=2)
    watching = await Database.open(empty_dsn, application_name="watching", min_size=1, max_size=1)
    rng = random.Random(1)
    async with watching.connection() as watcher:
        await watcher.execute("create table t (n integer)")
        for number in range(ROUNDS):
            # A new text each time, so that each is prepared first; the driver ends that without a Sync, and a
            # transaction that Postgres began for it stays open until the next message.
            task = asyncio.create_task(_read(database, f"select n + {number} from t where n = $1"))
            for _ in range(rng.randrange(120)):  # some moment of the two messages, in turns of the loop
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            locks = "select count(*) from pg_locks where relation = 't'::regclass and pid <> pg_backend_pid()"
            assert await watcher.fetchval(locks) == 0, f"round {number}"
    await database.close()
    await watching.close()


async def _read(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.fetch(statement, 1)
