"""MatchJobEvent: what an event would do now. Stores nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.events import JobEvent, completed
from trigger_service.domain.matching import Facts, Ruling, Verdict, rule
from trigger_service.storage import events as event_store
from trigger_service.storage.events import MatchView, WatchingWorkflow
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.record_matches import matches


@dataclass(frozen=True, slots=True)
class Decision:
    """Why one workflow would or would not fire. `config` is None where the workflow has none for the job's type."""

    event_id: str
    workflow_id: UUID
    workflow_name: str
    ruling: Ruling
    config: TriggerConfig | None


async def match_job_event(env: Environment, given: JobEvent, *, include_rejected: bool) -> Sequence[Decision]:
    """One decision per workflow that would fire, or per workflow that the experiment's events concern."""
    async with env.database.connection() as connection:
        view = await event_store.match_view(connection, [given])
        watching = await event_store.watching_workflows(connection, given.experiment_id) if include_rejected else []
    event = completed(given, view.jobs.get(given.job_key))
    if include_rejected:
        return [_decide(env, event, view, workflow) for workflow in watching]
    return [
        Decision(event.event_id, candidate.workflow_id, candidate.name, Ruling(verdict), candidate.config)
        for candidate, verdict in matches(event, view, env.conditions, env.max_depth)
        if verdict is Verdict.MATCHED
    ]


def _decide(env: Environment, event: JobEvent, view: MatchView, workflow: WatchingWorkflow) -> Decision:
    config = next((config for config in workflow.configs if config.trigger_type == event.job_type), None)
    facts = Facts(
        view.now,
        env.max_depth,
        workflow.experiment_id,
        disabled_reason=workflow.disabled_reason,
        paused=workflow.paused,
    )
    ruling = rule(config, event, facts, env.conditions.about(event))
    return Decision(event.event_id, workflow.workflow_id, workflow.name, ruling, config)
