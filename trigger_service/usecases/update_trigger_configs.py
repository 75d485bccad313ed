"""UpdateTriggerConfigs."""

from __future__ import annotations

from trigger_service.domain.config_checks import check_configs
from trigger_service.domain.workflows import Workflow
from trigger_service.storage import workflows
from trigger_service.usecases.environment import Environment, known_id, not_found
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import Aborted


async def update_trigger_configs(
    env: Environment, workflow_id: str, experiment_id: str, given: object, etag: str
) -> Workflow:
    """Replace all configs of a workflow. `given`: untrusted JSON, a list of one dictionary per blueprint.

    InvalidArgument names every fault; NotFound; Aborted when an etag is given and is not the current one.
    """
    configs = check_configs(given, env.blueprints, env.conditions.problem_of)
    key = known_id(workflow_id, "workflow")

    async def work(connection: Connection) -> Workflow:
        await workflows.lock(connection, key, experiment_id)
        before = await workflows.get(connection, key, experiment_id)
        if before is None:
            raise not_found(workflow_id, "workflow")
        require_etag(etag, before.etag)
        await workflows.update_configs(connection, key, configs)
        after = await workflows.get(connection, key)
        assert after is not None
        return after

    return await env.database.run(work)


def require_etag(given: str, current: str) -> None:
    """Aborted when an etag is given and is not the current one. The caller holds the workflow's row."""
    if given and given != current:
        raise Aborted(
            "the workflow has changed since it was read: read it again, then decide again",
            reason="ETAG_MISMATCH",
            etag=current,
        )
