"""ListFirings."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from trigger_service.domain.firings import Firing, FiringState
from trigger_service.storage import firings
from trigger_service.usecases.environment import Environment, known_id
from wakepoint.chassis.paging import PageToken, filter_hash, page_size_of


async def list_firings(
    env: Environment,
    workflow_id: str,
    experiment_id: str,
    states: Sequence[FiringState],
    page_size: int,
    page_token: str,
) -> tuple[Sequence[Firing], str]:
    """A page of firings, newest first, and the next page's token. Empty arguments do not restrict."""
    size = page_size_of(page_size)
    narrowed = {"workflow_id": workflow_id, "experiment_id": experiment_id, "states": sorted(states)}
    query = filter_hash("ListFirings", narrowed)
    token = PageToken.decode(page_token, filter_hash=query)
    before, as_of = (UUID(str(token.key[0])), token.as_of) if token else (None, None)
    wanted = firings.FiringQuery(
        known_id(workflow_id, "workflow") if workflow_id else None, experiment_id, tuple(dict.fromkeys(states))
    )
    async with env.database.connection() as connection:
        found, began = await firings.list_page(connection, wanted, before, size + 1, as_of)
    if len(found) <= size or began is None:
        return found, ""
    return found[:size], PageToken(query, began, (str(found[size - 1].firing_id),)).encode()
