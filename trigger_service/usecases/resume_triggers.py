"""ResumeTriggers."""

from __future__ import annotations

from collections.abc import Sequence

from trigger_service.domain.firings import Firing, FiringState
from trigger_service.storage import pauses
from trigger_service.storage.pauses import Scope
from trigger_service.usecases.environment import Environment, not_found
from trigger_service.usecases.pause_triggers import MAX_SHOWN, scope_of
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection


class _OnlyAsked(Exception):
    """Takes back a resume that was only asked about."""

    def __init__(self, released: Sequence[Firing]) -> None:
        super().__init__()
        self.released = released


async def resume_triggers(env: Environment, workflow_id: str, experiment_id: str, *, dry_run: bool) -> Sequence[Firing]:
    """End a pause and release what it held, in the order of the matches; the first thousand of it.

    What another pause holds as well stays held, and what is off by now is cancelled: neither is shown.
    A dry run does the same and takes it back.
    """
    scope = scope_of(workflow_id, experiment_id)

    async def work(connection: Connection) -> Sequence[Firing]:
        if not await pauses.resume(connection, scope):
            raise not_found(workflow_id, "workflow")
        changed = await _release(connection, scope)
        if dry_run:
            raise _OnlyAsked(changed)
        failpoints.hit("trigger.resume.before_commit")
        return changed

    try:
        changed = await env.database.run(work)
    except _OnlyAsked as asked:
        return _leaving(asked.released)
    failpoints.hit("trigger.resume.after_commit")
    more = changed
    while len(more) >= MAX_SHOWN and _leaving(more):
        more = await env.database.run(lambda connection: _release(connection, scope))
    env.firings_due()
    return _leaving(changed)


async def _release(connection: Connection, scope: Scope) -> Sequence[Firing]:
    held = await pauses.lock_held_by_pause(connection, scope, MAX_SHOWN)
    return await pauses.release(connection, held) if held else ()


def _leaving(changed: Sequence[Firing]) -> list[Firing]:
    return [firing for firing in changed if firing.state is FiringState.QUEUED]
