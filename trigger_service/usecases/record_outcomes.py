"""Record what became of leased firings."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from trigger_service.domain.dispatch import Change
from trigger_service.storage import firings
from wakepoint.chassis.database import Connection, Database


async def record_outcomes(database: Database, lease_id: UUID, changes: Sequence[Change]) -> int:
    """How many were recorded; the others' lease was lost meanwhile, and whoever holds them now records them."""

    async def work(connection: Connection) -> int:
        return await firings.record_outcomes(connection, lease_id, changes)

    return await database.run(work) if changes else 0
