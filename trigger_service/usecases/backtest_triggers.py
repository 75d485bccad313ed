"""BacktestTriggers: what changed configs would have done with past events. Stores nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from trigger_service.domain.config_checks import check_configs
from trigger_service.domain.explaining import Decision, PastEvent, Trace, WatchingWorkflow
from trigger_service.domain.matching import Facts, Ruling, Verdict, rule
from trigger_service.domain.rehearsal import Rehearsal
from trigger_service.storage import explanations
from trigger_service.storage.explanations import KnownWorkflow, Stretch
from trigger_service.usecases.environment import Environment, known_id, not_found
from trigger_service.usecases.past_events import check_range, walk


@dataclass(frozen=True, slots=True)
class Trial:
    """Configs to be tried on the events of [start, end). `given`: untrusted JSON, one dictionary per blueprint."""

    workflow_id: str
    experiment_id: str
    given: object
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Backtest:
    """Events that would fire, those of them that did not, and those that did and would not."""

    would_fire: list[Decision] = field(default_factory=list)
    no_longer: list[Decision] = field(default_factory=list)
    newly: list[Decision] = field(default_factory=list)


async def backtest_triggers(env: Environment, trial: Trial) -> Backtest:
    """Try configs on past events, pauses left out of account and limits counted from zero.

    InvalidArgument names every fault of the configs, or a range that is faulty or too large. NotFound.
    """
    configs = tuple(check_configs(trial.given, env.blueprints, env.conditions.problem_of))
    start = check_range(trial.start, trial.end)
    key = known_id(trial.workflow_id, "workflow")
    async with env.database.connection() as connection:
        known = await explanations.find_workflow(connection, key, trial.experiment_id)
        if known is None:
            raise not_found(trial.workflow_id, "workflow")
        as_changed = WatchingWorkflow(key, known.experiment_id, known.name, configs)
        reach = set(await explanations.watched_experiments(connection, key)) | _watched(as_changed)
        types = [config.trigger_type for config in configs if config.is_enabled]
        events: list[PastEvent] = []
        traces: dict[tuple[UUID, UUID], Trace] = {}
        stretches = [Stretch(experiment, start, trial.end, types, key) for experiment in sorted(reach)]
        async for batch in walk(connection, stretches):
            events += batch
            traces |= await explanations.traces(connection, [(past.event_key, key) for past in batch])
    events.sort(key=lambda past: (past.match_time, past.event_key))
    rulings = _try(env, as_changed, events)
    return _compare(known, events, rulings, {event_key: trace for (event_key, _), trace in traces.items()})


def _watched(workflow: WatchingWorkflow) -> set[str]:
    named = {source for config in workflow.configs for source in config.source_experiment_ids}
    return named | {workflow.experiment_id}


def _try(env: Environment, workflow: WatchingWorkflow, events: Sequence[PastEvent]) -> dict[UUID, Ruling]:
    """The verdict on each event: the matcher's, and on a match what limits and quiet periods would have made of it."""
    rulings: dict[UUID, Ruling] = {}
    rehearsals = {config.trigger_type: Rehearsal(config) for config in workflow.configs}
    for past in events:
        facts = Facts(past.match_time, env.max_depth, workflow.experiment_id)
        config = workflow.config_for(past.event.job_type)
        ruling = rule(config, past.event, facts, env.conditions.about(past.event))
        if ruling.verdict is Verdict.MATCHED:
            rehearsals[past.event.job_type].admit(past.event_key, past.match_time)
        else:
            rulings[past.event_key] = ruling
    for rehearsal in rehearsals.values():
        rulings |= rehearsal.rulings
    return rulings


def _compare(
    known: KnownWorkflow, events: Sequence[PastEvent], rulings: dict[UUID, Ruling], traces: dict[UUID, Trace]
) -> Backtest:
    found = Backtest()
    for past in events:
        ruling, trace = rulings[past.event_key], traces.get(past.event_key, Trace())
        told = replace(ruling, detail="; ".join(filter(None, (ruling.detail, _what_happened(trace)))))
        decision = Decision(past.event.event_id, known.workflow_id, known.name, told, None)
        if ruling.verdict is Verdict.MATCHED:
            found.would_fire.append(decision)
            if not trace.has_fired:
                found.newly.append(decision)
        elif trace.has_fired:
            found.no_longer.append(decision)
    return found


def _what_happened(trace: Trace) -> str:
    if not trace.has_fired:
        return ""
    return f"it fired, and its run {trace.run_state}" if trace.run_state else "it fired"
