"""ListWorkflows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from trigger_service.domain.workflows import Workflow
from trigger_service.storage import workflows
from trigger_service.usecases.environment import Environment
from wakepoint.chassis.paging import PageToken, filter_hash, page_size_of


async def list_workflows(
    env: Environment, experiment_id: str, trigger_type: str, page_size: int, page_token: str
) -> tuple[Sequence[Workflow], str]:
    """A page of live workflows, oldest first, and the next page's token. `trigger_type`: only where it is enabled."""
    size = page_size_of(page_size)
    query = filter_hash("ListWorkflows", {"experiment_id": experiment_id, "trigger_type": trigger_type})
    token = PageToken.decode(page_token, filter_hash=query)
    after, as_of = (UUID(str(token.key[0])), token.as_of) if token else (None, None)
    async with env.database.connection() as connection:
        found, began = await workflows.list_page(connection, experiment_id, trigger_type, after, size + 1, as_of)
    if len(found) <= size or began is None:
        return found, ""
    return found[:size], PageToken(query, began, (str(found[size - 1].workflow_id),)).encode()
