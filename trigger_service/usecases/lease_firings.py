"""Lease due firings for one dispatcher, with the graphs that they need."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from trigger_service.domain.dispatch import Lease
from trigger_service.storage import firings
from wakepoint.chassis.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Leased:
    """`taken_up` counts rows, also those that ended as CANCELLED: an empty lease may not mean that nothing is due."""

    leases: Sequence[Lease]
    graphs: dict[str, dict[str, Any]]
    taken_up: int


async def lease_firings(
    database: Database, lease_id: UUID, length: timedelta, limit: int, known_graphs: Collection[str]
) -> Leased:
    """Take due firings, at most `limit`, for `length`; graphs by hash, those already known left out."""

    async def work(connection: Connection) -> Leased:
        leases, taken_up = await firings.lease_due(connection, lease_id, length, limit)
        missing = {lease.graph_hash for lease in leases} - set(known_graphs)
        graphs = await firings.graphs(connection, missing) if missing else {}
        return Leased(leases, graphs, taken_up)

    return await database.run(work)
