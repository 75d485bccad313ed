"""Turn off the triggers of workflows that the runner refuses again and again."""

from __future__ import annotations

from uuid import UUID

from trigger_service.storage import firings, refusals, workflows
from wakepoint.chassis.database import Connection, Database

_AT_ONCE = 100


async def turn_off_triggers(database: Database, give_up_after: int) -> list[UUID]:
    """The workflows turned off: those refused `give_up_after` times in a row. What they had queued is cancelled.

    One transaction each: workflow, then its firings, as deleting does.
    """
    async with database.connection() as connection:
        refused = await refusals.refused_workflows(connection, give_up_after, _AT_ONCE)
    return [workflow_id for workflow_id in refused if await _turn_off(database, workflow_id, give_up_after)]


async def _turn_off(database: Database, workflow_id: UUID, give_up_after: int) -> bool:
    async def work(connection: Connection) -> bool:
        pin = await workflows.lock(connection, workflow_id)
        found = await refusals.of_workflow(connection, workflow_id)
        if found is None or found.in_a_row < give_up_after:
            return False
        reason = f"the runner refused it {found.in_a_row} times in a row: {found.last_error}"
        is_off = pin is not None and await refusals.disable(connection, workflow_id, reason)
        await firings.cancel_of_workflow(connection, workflow_id, reason, with_manual=False)
        await refusals.forget(connection, [workflow_id])
        return is_off

    return await database.run(work)
