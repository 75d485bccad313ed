"""Record what became of leased firings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from trigger_service.domain.dispatch import Change, Lease, tallies
from trigger_service.storage import firings, refusals
from wakepoint.chassis.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many firings were recorded, and the most refusals in a row that a workflow of theirs has come to."""

    firings: int
    refusals_in_a_row: int


async def record_outcomes(
    database: Database, lease_id: UUID, leases: Sequence[Lease], changes: Sequence[Change]
) -> Recorded:
    """One change per lease. Firings whose lease was lost meanwhile are left to their new holder and not counted."""

    async def work(connection: Connection) -> Recorded:
        recorded = await firings.record_outcomes(connection, lease_id, changes)
        pairs = zip(leases, changes, strict=True)
        tallied = tallies((lease, change) for lease, change in pairs if change.firing_id in recorded)
        in_a_row = await refusals.count(connection, tallied) if tallied else 0
        return Recorded(len(recorded), in_a_row)

    return await database.run(work) if changes else Recorded(0, 0)
