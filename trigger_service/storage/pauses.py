"""Pauses, and firings that wait: for a pause's end, or for their time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from trigger_service.domain.configs import WhilePaused
from trigger_service.domain.firings import Firing
from trigger_service.storage import workflows
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "pauses.sql")


@dataclass(frozen=True, slots=True)
class Scope:
    """One workflow, of this experiment if one is given; or, without a workflow, all of an experiment."""

    workflow_id: UUID | None
    experiment_id: str


async def pause(connection: Connection, scope: Scope, while_paused: WhilePaused) -> bool:
    """Begin a pause, or change what it does; false when there is no such workflow."""
    if scope.workflow_id is None:
        await connection.execute(_SQL["pause_experiment"], scope.experiment_id, while_paused.value)
        return True
    if await workflows.lock(connection, scope.workflow_id, scope.experiment_id) is None:
        return False
    await connection.execute(_SQL["pause_workflow"], scope.workflow_id, while_paused.value)
    return True


async def resume(connection: Connection, scope: Scope) -> bool:
    """End a pause; false when there is no such workflow."""
    if scope.workflow_id is None:
        await connection.execute(_SQL["resume_experiment"], scope.experiment_id)
        return True
    if await workflows.lock(connection, scope.workflow_id, scope.experiment_id) is None:
        return False
    await connection.execute(_SQL["resume_workflow"], scope.workflow_id)
    return True


async def hold_queued(connection: Connection, scope: Scope, limit: int) -> None:
    """Hold what is queued or retried, at most `limit`."""
    await connection.execute(_SQL["hold_queued"], scope.workflow_id, scope.experiment_id, limit)


async def held_by_pause(connection: Connection, scope: Scope, limit: int) -> list[Firing]:
    """What pauses hold, oldest first."""
    rows = await connection.fetch(_SQL["held_by_pause"], scope.workflow_id, scope.experiment_id, limit)
    return [Firing.model_validate(dict(row)) for row in rows]


async def lock_held_by_pause(connection: Connection, scope: Scope, limit: int) -> list[UUID]:
    """The same, locked until the transaction ends."""
    rows = await connection.fetch(_SQL["lock_held_by_pause"], scope.workflow_id, scope.experiment_id, limit)
    return [row["firing_id"] for row in rows]


async def lock_due(connection: Connection, limit: int) -> list[UUID]:
    """Held firings whose time has come, locked; nobody waits for another replica here."""
    return [row["firing_id"] for row in await connection.fetch(_SQL["lock_due"], limit)]


async def lock_left_behind(connection: Connection, limit: int) -> list[UUID]:
    """Firings held by pauses that are over, locked; nobody waits for another replica here."""
    over = [row["workflow_id"] for row in await connection.fetch(_SQL["no_longer_paused"], limit)]
    rows = await connection.fetch(_SQL["lock_left_behind"], over, limit) if over else []
    return [row["firing_id"] for row in rows]


async def release(connection: Connection, firing_ids: Sequence[UUID]) -> list[Firing]:
    """End the hold of locked firings. Each as it stands then: queued, held on by something else, or cancelled."""
    rows = await connection.fetch(_SQL["release"], firing_ids)
    return [Firing.model_validate(dict(row)) for row in rows]
