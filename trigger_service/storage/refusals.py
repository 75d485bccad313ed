"""How often in a row the runner refused a workflow's firings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from trigger_service.domain.dispatch import Tally
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "refusals.sql")


@dataclass(frozen=True, slots=True)
class Refusals:
    """How often a workflow was refused since something of it was last taken, and why the last time."""

    in_a_row: int
    last_error: str


async def count(connection: Connection, tallied: Sequence[Tally]) -> int:
    """Add up what a batch, sorted by workflow, has brought; the highest count that came of it."""
    known = await connection.fetch(_SQL["lock_refusals"], [tally.workflow_id for tally in tallied])
    taken = {tally.workflow_id for tally in tallied if tally.was_taken}
    over = [row["workflow_id"] for row in known if row["workflow_id"] in taken]
    if over:
        await forget(connection, over)
    refused = [tally for tally in tallied if tally.refusals]
    if not refused:
        return 0
    rows = await connection.fetch(
        _SQL["count_refusals"],
        [tally.workflow_id for tally in refused],
        [tally.refusals for tally in refused],
        [tally.last_error for tally in refused],
    )
    return max(int(row["in_a_row"]) for row in rows)


async def refused_workflows(connection: Connection, at_least: int, limit: int) -> list[UUID]:
    """Workflows that were refused so often in a row."""
    return [row["workflow_id"] for row in await connection.fetch(_SQL["refused_workflows"], at_least, limit)]


async def of_workflow(connection: Connection, workflow_id: UUID) -> Refusals | None:
    """The count of one workflow; None when its last firing was taken."""
    row = await connection.fetchrow(_SQL["last_refusal"], workflow_id)
    return Refusals(row["in_a_row"], row["last_error"]) if row else None


async def forget(connection: Connection, workflow_ids: Collection[UUID]) -> None:
    """Begin to count anew."""
    await connection.execute(_SQL["forget_refusals"], list(workflow_ids))


async def disable(connection: Connection, workflow_id: UUID, reason: str) -> bool:
    """Turn a locked workflow's triggers off; false when they are already."""
    return bool(await connection.fetchval(_SQL["disable_workflow"], workflow_id, reason))
