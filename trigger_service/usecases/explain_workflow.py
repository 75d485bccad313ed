"""ExplainWorkflow: why a workflow did or did not fire for the past events of its reach."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from trigger_service.domain.explaining import Decision
from trigger_service.storage import explanations
from trigger_service.usecases.environment import Environment, known_id, not_found
from trigger_service.usecases.explain_event import explained
from wakepoint.chassis.paging import PageToken, filter_hash, page_size_of


async def explain_workflow(
    env: Environment, workflow_id: str, experiment_id: str, page_size: int, page_token: str
) -> tuple[Sequence[Decision], str]:
    """A page of decisions, one per event, newest first, and the next page's token.

    A deleted workflow can still be asked about. NotFound also for one of another experiment.
    """
    size = page_size_of(page_size)
    query = filter_hash("ExplainWorkflow", {"workflow_id": workflow_id, "experiment_id": experiment_id})
    token = PageToken.decode(page_token, filter_hash=query)
    before = (datetime.fromisoformat(str(token.key[0])), UUID(str(token.key[1]))) if token else None
    async with env.database.connection() as connection:
        workflow = await explanations.find_workflow(connection, known_id(workflow_id, "workflow"), experiment_id)
        if workflow is None:
            raise not_found(workflow_id, "workflow")
        found = await explanations.events_of_workflow(connection, workflow, before, size + 1)
        decisions = await explained(env, connection, found[:size])
    if len(found) <= size:
        return decisions, ""
    last, _ = found[size - 1]
    key = (last.create_time.isoformat(), str(last.event_key))
    return decisions, PageToken(query, token.as_of if token else found[0][0].create_time, key).encode()
