"""Put the blueprints of the settings on offer; done when a replica starts."""

from __future__ import annotations

from trigger_service.domain.blueprints import Blueprints
from trigger_service.storage import workflows
from wakepoint.chassis.database import Connection, Database


async def offer_blueprints(database: Database, blueprints: Blueprints) -> bool:
    """Whether the offer changed; then every workflow's configs were normalised against it anew."""

    async def work(connection: Connection) -> bool:
        return await workflows.offer(connection, blueprints)

    return await database.run(work)
