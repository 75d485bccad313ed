"""RetryFiring."""

from __future__ import annotations

from typing import assert_never

from trigger_service.domain.blueprints import MANUAL
from trigger_service.domain.firings import Firing, FiringState
from trigger_service.storage import firings, workflows
from trigger_service.usecases.environment import Environment, known_id, not_found, require_live
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import Aborted, FailedPrecondition


async def retry_firing(env: Environment, firing_id: str, experiment_id: str) -> Firing:
    """Queue a DEAD or RETRYING firing at once; it may be refused as often as a new one. QUEUED already: no error.

    NotFound. Aborted: it is being handed over just now. FailedPrecondition: it cannot be handed over (again).
    """
    require_live(env)
    key = known_id(firing_id, "firing")

    async def work(connection: Connection) -> Firing:
        found = await firings.lock(connection, key, experiment_id)
        if found is None:
            raise not_found(firing_id, "firing")
        if not _may_be_retried(found):
            return found
        await _check_workflow(connection, found)
        return await firings.queue_again(connection, key)

    firing = await env.database.run(work)
    env.firings_due()
    return firing


def dispatching() -> Aborted:
    """The answer while a firing is in a dispatcher's hands."""
    return Aborted("the firing is being handed over just now: look again", reason="FIRING_DISPATCHING")


def _may_be_retried(firing: Firing) -> bool:
    match firing.state:
        case FiringState.DEAD | FiringState.RETRYING:
            return True
        case FiringState.QUEUED:
            return False
        case FiringState.DISPATCHING:
            raise dispatching()
        case FiringState.DISPATCHED | FiringState.CANCELLED | FiringState.HELD:
            raise FailedPrecondition(f"the firing is {firing.state}", reason=f"FIRING_{firing.state}")
        case _:
            assert_never(firing.state)


async def _check_workflow(connection: Connection, firing: Firing) -> None:
    """What would be cancelled at once is refused instead: it could not be retried any more."""
    workflow = await workflows.get(connection, firing.workflow_id)
    if workflow is None:
        raise FailedPrecondition("the workflow was deleted", reason="WORKFLOW_DELETED")
    if workflow.disabled_reason and firing.trigger_type != MANUAL:
        raise FailedPrecondition(
            f"the workflow's triggers are off; enable one first: {workflow.disabled_reason}", reason="TRIGGERS_OFF"
        )
