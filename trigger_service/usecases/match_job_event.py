"""MatchJobEvent: what an event would do now. Stores nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from trigger_service.domain.events import JobEvent, completed
from trigger_service.domain.explaining import Decision, Trace, WatchingWorkflow, settled
from trigger_service.domain.matching import Facts, Ruling, Verdict, rule
from trigger_service.storage import decisions as decision_store
from trigger_service.storage import events as event_store
from trigger_service.storage import explanations
from trigger_service.storage.decisions import Admission
from trigger_service.storage.events import MatchView, NewEvent
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.record_matches import plan_of, rulings
from wakepoint.chassis.database import Connection
from wakepoint.chassis.ids import new_id

MAX_REJECTED = 1_000


class _Undo(Exception):
    """Leaves a transaction without a trace, taking along what it would have made."""

    def __init__(self, traces: Mapping[tuple[UUID, UUID], Trace]) -> None:
        self.traces = traces
        super().__init__()


async def match_job_event(env: Environment, given: JobEvent, *, include_rejected: bool) -> Sequence[Decision]:
    """One decision per workflow that would fire now; if asked for, also the first MAX_REJECTED that would not.

    Limits and quiet periods count: a match that needs them is really admitted, in a transaction that is taken back.
    """
    async with env.database.connection() as connection:
        view = await event_store.match_view(connection, [given])
        event = completed(given, view.jobs.get(given.job_key))
        limit = MAX_REJECTED if include_rejected else 0
        watching = await explanations.workflows_now(connection, event.experiment_id, limit)
    decided = await _decided(env, event, view)
    found = [decision for decision in decided.values() if decision.ruling.verdict is Verdict.MATCHED]
    if include_rejected:
        found += [decision for decision in decided.values() if decision.ruling.verdict is not Verdict.MATCHED]
        found += [_reject(env, event, view, workflow) for workflow in watching if workflow.workflow_id not in decided]
    return found


async def _decided(env: Environment, event: JobEvent, view: MatchView) -> dict[UUID, Decision]:
    """The decisions on workflows whose config is on for the event's experiment, type and status."""
    new = NewEvent(UUID(new_id()), event, 0, view.now, env.max_depth)
    plan = plan_of([new], view, env)
    stored = {item.workflow_id: Ruling(Verdict(item.verdict), item.detail) for item in plan.decisions}
    if plan.admissions:
        for (_, workflow_id), trace in (await _admitted(env, plan.admissions)).items():
            ruling = settled(trace)
            if ruling is not None:
                stored[workflow_id] = ruling
    return {
        candidate.workflow_id: Decision(
            event.event_id,
            candidate.workflow_id,
            candidate.name,
            stored.get(candidate.workflow_id, ruling),
            candidate.config,
        )
        for candidate, ruling in rulings(event, view, env.conditions, env.max_depth)
    }


async def _admitted(env: Environment, admissions: Sequence[Admission]) -> Mapping[tuple[UUID, UUID], Trace]:
    pairs = [(item.event_key, item.workflow_id) for item in admissions]

    async def work(connection: Connection) -> None:
        await decision_store.admit(connection, admissions)
        raise _Undo(await explanations.traces(connection, pairs))

    try:
        await env.database.run(work)
    except _Undo as undone:
        return undone.traces
    return {}


def _reject(env: Environment, event: JobEvent, view: MatchView, workflow: WatchingWorkflow) -> Decision:
    config = workflow.config_for(event.job_type)
    facts = Facts(view.now, env.max_depth, workflow.experiment_id, workflow.disabled_reason, workflow.paused)
    ruling = rule(config, event, facts, env.conditions.about(event))
    return Decision(event.event_id, workflow.workflow_id, workflow.name, ruling, config)
