"""What a replica may have missed: asked for by polling, so that everything works with notifications gone."""

from datetime import timedelta

from runner_service.storage import runs
from wakepoint.chassis.database import Database


async def changed_inboxes(database: Database, replica_id: str, within: timedelta) -> dict[str, int]:
    """The last inbox_seq of the replica's runs that changed in the last `within`."""
    async with database.connection() as connection:
        return await runs.unseen_inboxes(connection, replica_id, within)


async def cancelled_lately(database: Database, within: timedelta) -> set[str]:
    """The runs that were cancelled in the last `within`."""
    async with database.connection() as connection:
        return await runs.recently_cancelled(connection, within)


async def owned_runs(database: Database, replica_id: str) -> set[str]:
    """The runs that the replica holds, as the database has it."""
    async with database.connection() as connection:
        return await runs.owned_runs(connection, replica_id)
