"""From an event and what matching knows to firings, admissions and decisions; and recording them, events first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from trigger_service.domain.configs import WhilePaused
from trigger_service.domain.events import JobEvent
from trigger_service.domain.firings import Firing, FiringState
from trigger_service.domain.matching import Facts, Ruling, Verdict, rule
from trigger_service.storage import decisions as decision_store
from trigger_service.storage import events as event_store
from trigger_service.storage import firings as firing_store
from trigger_service.storage.decisions import Admission, NewDecision
from trigger_service.storage.events import Candidate, MatchView, NewEvent, NewFiring
from trigger_service.usecases.conditions import Conditions
from trigger_service.usecases.environment import Environment
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection
from wakepoint.chassis.ids import new_id

SHADOW = "SHADOW"
"""`held_by` of a firing that was matched while the service only watched."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What some events bring about if they turn out to be new."""

    firings: list[NewFiring] = field(default_factory=list)
    admissions: list[Admission] = field(default_factory=list)
    decisions: list[NewDecision] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The keys of the events that were new, and what each of them fired or joined."""

    accepted: frozenset[UUID]
    fired: dict[UUID, list[Firing]]


def plan_of(events: Iterable[NewEvent], view: MatchView, env: Environment) -> Plan:
    """What the events bring about, by the one matcher. A service that only watches records matches and no more."""
    plan = Plan()
    for new in events:
        for candidate, ruling in rulings(new.event, view, env.conditions, env.max_depth):
            if ruling.verdict is Verdict.CONDITION_ERROR:
                plan.decisions.append(_decision(new, candidate, ruling))
            elif env.is_shadow and ruling.verdict in {Verdict.MATCHED, Verdict.PAUSED}:
                # In their final state from the start: nobody can ever carry them out, in whatever mode he runs.
                plan.firings.append(_firing(new, candidate, FiringState.CANCELLED, SHADOW))
            elif ruling.verdict in {Verdict.MATCHED, Verdict.PAUSED}:
                _plan_match(plan, new, candidate)
    return plan


def rulings(event: JobEvent, view: MatchView, conditions: Conditions, max_depth: int) -> list[tuple[Candidate, Ruling]]:
    """The matcher's ruling on every candidate."""
    holds = conditions.about(event)
    return [
        (
            candidate,
            rule(
                candidate.config,
                event,
                Facts(view.now, max_depth, candidate.experiment_id, paused=candidate.paused),
                holds,
            ),
        )
        for candidate in view.candidates.get((event.experiment_id, event.job_type), ())
    ]


def matches(
    event: JobEvent, view: MatchView, conditions: Conditions, max_depth: int
) -> list[tuple[Candidate, Verdict]]:
    """The candidates that the event fires, now (MATCHED) or when a pause ends (PAUSED)."""
    return [
        (candidate, ruling.verdict)
        for candidate, ruling in rulings(event, view, conditions, max_depth)
        if ruling.verdict in {Verdict.MATCHED, Verdict.PAUSED}
    ]


async def record_plan(connection: Connection, events: Sequence[NewEvent], plan: Plan) -> Recorded:
    """Write events with all that hangs on those that are new: first what needs no counter, then what does."""
    accepted, written = await event_store.record(connection, events, plan.firings, plan.decisions)
    fired: dict[UUID, list[Firing]] = {}
    keys = {firing.firing_id: firing.event_key for firing in plan.firings}
    for firing in written:
        fired.setdefault(keys[firing.firing_id], []).append(firing)
    admissions = [item for item in plan.admissions if item.event_key in accepted]
    if admissions:
        await decision_store.admit(connection, admissions)
        failpoints.hit("trigger.report.admitted")
        fired |= await firing_store.of_events(connection, {item.event_key for item in admissions})
    return Recorded(accepted, fired)


def _plan_match(plan: Plan, new: NewEvent, candidate: Candidate) -> None:
    config = candidate.config
    if candidate.paused and (config.while_paused or candidate.while_paused) == WhilePaused.DROP_AND_RECORD:
        plan.decisions.append(_decision(new, candidate, Ruling(Verdict.PAUSED, "dropped: the triggers were paused")))
    elif config.needs_admission:
        plan.admissions.append(_admission(new, candidate))
    elif config.delay is not None:
        plan.firings.append(_firing(new, candidate, FiringState.HELD, "DELAY", config.delay))
    elif candidate.paused:
        firing = _firing(new, candidate, FiringState.HELD, "PAUSE")
        plan.firings.append(firing)
        held = Ruling(Verdict.PAUSED, "held until the pause ends")
        plan.decisions.append(_decision(new, candidate, held, firing.firing_id))
    else:
        plan.firings.append(_firing(new, candidate, FiringState.QUEUED))


def _firing(
    new: NewEvent, candidate: Candidate, state: FiringState, held_by: str = "", delay: timedelta | None = None
) -> NewFiring:
    return NewFiring(
        UUID(new_id()),
        new.event_key,
        candidate.workflow_id,
        candidate.experiment_id,
        new.event_id,
        candidate.config.trigger_type,
        candidate.version,
        candidate.graph_hash,
        new.event.depth,
        state.value,
        held_by,
        decision_store.interval(delay),
    )


def _admission(new: NewEvent, candidate: Candidate) -> Admission:
    return Admission(
        UUID(new_id()),
        new.event_key,
        candidate.workflow_id,
        candidate.experiment_id,
        new.event.experiment_id,
        new.event_id,
        candidate.version,
        candidate.graph_hash,
        new.event.depth,
        candidate.paused,
        candidate.config,
    )


def _decision(new: NewEvent, candidate: Candidate, ruling: Ruling, firing_id: UUID | None = None) -> NewDecision:
    return NewDecision(
        new.event_key,
        candidate.workflow_id,
        new.event.experiment_id,
        ruling.verdict.value,
        ruling.detail,
        candidate.config,
        firing_id,
    )
