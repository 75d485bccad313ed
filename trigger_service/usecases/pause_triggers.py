"""PauseTriggers and what it shares with ResumeTriggers."""

from __future__ import annotations

from collections.abc import Sequence

from trigger_service.domain.configs import WhilePaused
from trigger_service.domain.firings import Firing
from trigger_service.domain.limits import id_problem
from trigger_service.storage import pauses
from trigger_service.storage.pauses import Scope
from trigger_service.usecases.environment import Environment, known_id, not_found
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import InvalidArgument

MAX_SHOWN = 1_000
"""How many firings an answer shows, and how many are held or released at a time."""


def scope_of(workflow_id: str, experiment_id: str) -> Scope:
    """What is meant. InvalidArgument: neither workflow nor experiment. NotFound: a workflow id that cannot be one."""
    if not workflow_id and not experiment_id:
        raise InvalidArgument.of("workflow_id", "must not be empty where there is no experiment_id")
    problem = id_problem(experiment_id, required=False)
    if problem is not None:
        raise InvalidArgument.of("experiment_id", problem)
    return Scope(known_id(workflow_id, "workflow") if workflow_id else None, experiment_id)


async def pause_triggers(
    env: Environment, workflow_id: str, experiment_id: str, while_paused: WhilePaused
) -> Sequence[Firing]:
    """Hold a workflow's, or a whole experiment's, firings and matches; what is held then, at most a thousand of it."""
    scope = scope_of(workflow_id, experiment_id)

    async def work(connection: Connection) -> Sequence[Firing]:
        if not await pauses.pause(connection, scope, while_paused):
            raise not_found(workflow_id, "workflow")
        await pauses.hold_queued(connection, scope, MAX_SHOWN)
        failpoints.hit("trigger.pause.before_commit")
        return await pauses.held_by_pause(connection, scope, MAX_SHOWN)

    return await env.database.run(work)
