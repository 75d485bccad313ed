"""ExplainEvent: why each workflow of reach did or did not fire for a past event."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from trigger_service.domain.explaining import Decision, PastEvent, Trace, WatchingWorkflow, explain
from trigger_service.domain.limits import id_problem
from trigger_service.domain.matching import Holds
from trigger_service.storage import explanations
from trigger_service.usecases.environment import Environment, not_found
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import Violations
from wakepoint.chassis.paging import PageToken, filter_hash, page_size_of


async def explain_event(
    env: Environment, experiment_id: str, event_id: str, page_size: int, page_token: str
) -> tuple[Sequence[Decision], str]:
    """A page of decisions by workflow id, and the next page's token.

    An id that several sources used names several events: their decisions follow one another. NotFound for an event
    that is unknown or not kept any more.
    """
    _check(experiment_id, event_id)
    size = page_size_of(page_size)
    query = filter_hash("ExplainEvent", {"experiment_id": experiment_id, "event_id": event_id})
    token = PageToken.decode(page_token, filter_hash=query)
    async with env.database.connection() as connection:
        events = await explanations.find_events(connection, experiment_id, event_id)
        if not events:
            raise not_found(event_id, "event")
        began, after = (UUID(str(token.key[0])), UUID(str(token.key[1]))) if token else (None, None)
        found: list[tuple[PastEvent, WatchingWorkflow]] = []
        for past in events:
            if (began is None or past.event_key >= began) and len(found) <= size:
                start = after if past.event_key == began else None
                watching = await explanations.workflows_at(connection, past, start, size + 1 - len(found))
                found += [(past, workflow) for workflow in watching]
        decisions = await explained(env, connection, found[:size])
    if len(found) <= size:
        return decisions, ""
    last_event, last_workflow = found[size - 1]
    key = (str(last_event.event_key), str(last_workflow.workflow_id))
    return decisions, PageToken(query, events[0].create_time, key).encode()


async def explained(
    env: Environment, connection: Connection, pairs: Sequence[tuple[PastEvent, WatchingWorkflow]]
) -> list[Decision]:
    """The decision on each pair: derived by the matcher, settled by what is kept of how it went."""
    kept = await explanations.traces(connection, [(past.event_key, workflow.workflow_id) for past, workflow in pairs])
    holds: dict[UUID, Holds] = {}
    decisions = []
    for past, workflow in pairs:
        trace = kept.get((past.event_key, workflow.workflow_id), Trace())
        about = holds.setdefault(past.event_key, env.conditions.about(past.event))
        decisions.append(explain(past, workflow, trace, env.max_depth, about))
    return decisions


def _check(experiment_id: str, event_id: str) -> None:
    faults = Violations()
    for field, text in (("experiment_id", experiment_id), ("event_id", event_id)):
        problem = id_problem(text)
        if problem is not None:
            faults.add(field, problem)
    faults.raise_if_any()
