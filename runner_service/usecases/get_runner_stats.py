"""GetRunnerStats."""

from runner_service.storage.stats import Stats, read_stats
from wakepoint.chassis.database import Database


async def get_runner_stats(database: Database, experiment_id: str | None) -> Stats:
    """Counts of one moment each; None: of all experiments."""
    async with database.connection() as connection:
        return await read_stats(connection, experiment_id)
