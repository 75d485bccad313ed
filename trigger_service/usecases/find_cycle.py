"""Whether a workflow's jobs can, over other workflows or directly, start the workflow itself."""

from __future__ import annotations

from uuid import UUID

from trigger_service.domain.cycles import Cause, Startable, Step, warning
from trigger_service.storage import cycles
from trigger_service.usecases.environment import Environment
from wakepoint.chassis.database import Connection

_AT_ONCE = 2_000
"""Workflows looked at per step; of more than that the rest is not looked at: this is a warning, not a proof."""
_STEPS = 20


async def cycle_warnings(env: Environment, workflow_id: UUID) -> list[str]:
    """A warning that names the shortest way back to the workflow, or nothing.

    Conditions and name patterns are not looked into: whether they let a job through is known when it comes.
    """
    async with env.database.connection() as connection:
        start = await cycles.jobs_of(connection, workflow_id)
        last = await _way_back(connection, start) if start is not None else None
    return [warning(start, last, env.max_depth)] if start is not None and last is not None else []


async def _way_back(connection: Connection, start: Startable) -> Step | None:
    frontier: dict[Cause, Step | None] = dict.fromkeys(start.causes())
    seen_causes = set(frontier)
    for _ in range(_STEPS):
        if not frontier:
            return None
        found: dict[Cause, Step | None] = {}
        for edge in await cycles.started_by(connection, frontier, _AT_ONCE):
            step = Step(edge.cause[1], edge.target, frontier[edge.cause])
            if edge.target.workflow_id == start.workflow_id:
                return step
            for cause in edge.target.causes():
                if cause not in seen_causes:
                    seen_causes.add(cause)
                    found[cause] = step
        frontier = found
    return None
