"""Release held firings whose time has come, and those that a pause holds although it is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from trigger_service.domain.firings import FiringState
from trigger_service.storage import pauses
from trigger_service.usecases.environment import Environment
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection

_Choice = Callable[[Connection, int], Awaitable[list[UUID]]]


async def release_firings(env: Environment, limit: int = 500) -> bool:
    """At most `limit` of each kind; whether there may be more. Any number of replicas may release at once."""
    due = await _release(env, pauses.lock_due, limit)
    left_behind = await _release(env, pauses.lock_left_behind, limit)
    return max(due, left_behind) >= limit


async def _release(env: Environment, choose: _Choice, limit: int) -> int:
    async def work(connection: Connection) -> list[FiringState]:
        chosen = await choose(connection, limit)
        released = await pauses.release(connection, chosen) if chosen else []
        if released:
            failpoints.hit("trigger.release.before_commit")
        return [firing.state for firing in released]

    states = await env.database.run(work)
    if states:
        failpoints.hit("trigger.release.after_commit")
    if FiringState.QUEUED in states:
        env.firings_due()
    return len(states)
