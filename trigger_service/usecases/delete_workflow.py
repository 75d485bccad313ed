"""DeleteWorkflow."""

from __future__ import annotations

from trigger_service.domain.workflows import Workflow
from trigger_service.storage import firings, workflows
from trigger_service.usecases.environment import Environment, known_id, not_found
from wakepoint.chassis.database import Connection


async def delete_workflow(env: Environment, workflow_id: str, experiment_id: str) -> Workflow:
    """Delete softly, and cancel what is not being dispatched yet. The workflow as it was; NotFound if there is none."""
    key = known_id(workflow_id, "workflow")

    async def work(connection: Connection) -> Workflow:
        await workflows.lock(connection, key, experiment_id)
        workflow = await workflows.get(connection, key, experiment_id)
        if workflow is None:
            raise not_found(workflow_id, "workflow")
        await workflows.delete(connection, key)
        await firings.cancel_of_workflow(connection, key, "the workflow was deleted")
        return workflow

    return await env.database.run(work)
