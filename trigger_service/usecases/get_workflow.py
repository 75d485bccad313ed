"""GetWorkflow."""

from __future__ import annotations

from trigger_service.domain.workflows import Workflow
from trigger_service.storage import workflows
from trigger_service.usecases.environment import Environment, known_id, not_found


async def get_workflow(env: Environment, workflow_id: str, experiment_id: str) -> Workflow:
    """A live workflow; NotFound also for one of another experiment."""
    async with env.database.connection() as connection:
        workflow = await workflows.get(connection, known_id(workflow_id, "workflow"), experiment_id)
    if workflow is None:
        raise not_found(workflow_id, "workflow")
    return workflow
