"""Queue firings again whose dispatcher did not come back."""

from __future__ import annotations

from trigger_service.storage import firings
from wakepoint.chassis.database import Connection, Database

_AT_ONCE = 1_000


async def sweep_leases(database: Database) -> int:
    """How many were queued again, at most a thousand at a time."""

    async def work(connection: Connection) -> int:
        return await firings.sweep_leases(connection, _AT_ONCE)

    return await database.run(work)
