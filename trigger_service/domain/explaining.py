"""What is said of a past match: the matcher's ruling, and what is kept of how the match went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.events import JobEvent
from trigger_service.domain.firings import FiringState
from trigger_service.domain.matching import Facts, Holds, Ruling, Verdict, rule


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event with all that the matcher knew of its moment. `max_depth` None: recorded before it was kept."""

    event_key: UUID
    event: JobEvent
    revision: int
    match_time: datetime
    max_depth: int | None
    create_time: datetime


@dataclass(frozen=True, slots=True)
class WatchingWorkflow:
    """A workflow that an experiment's events concern, with all its configs of one moment."""

    workflow_id: UUID
    experiment_id: str
    name: str
    configs: tuple[TriggerConfig, ...]
    disabled_reason: str = ""
    paused: bool = False
    deleted: bool = False

    def config_for(self, job_type: str) -> TriggerConfig | None:
        """The config that a job of this type meets."""
        return next((config for config in self.configs if config.trigger_type == job_type), None)


@dataclass(frozen=True, slots=True)
class Trace:
    """What is kept of one match: the event's own firing, and what was decided by the state of the moment."""

    firing_state: FiringState | None = None
    held_by: str = ""
    last_error: str = ""
    run_state: str = ""
    decision: Ruling | None = None

    @property
    def has_fired(self) -> bool:
        """Whether the event made a firing, whatever became of it."""
        return self.firing_state is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """Why one workflow did or did not fire. `config` is None where the workflow has none for the job's type."""

    event_id: str
    workflow_id: UUID
    workflow_name: str
    ruling: Ruling
    config: TriggerConfig | None


def explain(past: PastEvent, workflow: WatchingWorkflow, trace: Trace, max_depth: int, holds: Holds) -> Decision:
    """The decision of then: derived again from what the matcher knew, and settled by what is kept of it.

    `max_depth` is the limit of now, for events that were recorded before the limit was kept with them.
    """
    config = workflow.config_for(past.event.job_type)
    facts = Facts(
        past.match_time,
        max_depth if past.max_depth is None else past.max_depth,
        workflow.experiment_id,
        disabled_reason=workflow.disabled_reason,
        deleted=workflow.deleted,
    )
    ruling = settled(trace) or rule(config, past.event, facts, holds)
    return Decision(past.event.event_id, workflow.workflow_id, workflow.name, ruling, config)


def settled(trace: Trace) -> Ruling | None:
    """What is known without deriving anything: whatever fired has matched, and a stored decision stands as it is.

    A match that waits for a pause or a quiet period is decided so as long as it waits; once it went on, it has matched.
    """
    decision = trace.decision
    if not trace.has_fired:
        return decision
    if trace.firing_state is FiringState.HELD:
        return decision or Ruling(Verdict.MATCHED, f"held: {trace.held_by}")
    if trace.firing_state in {FiringState.CANCELLED, FiringState.DEAD}:
        return Ruling(Verdict.MATCHED, f"the firing is {trace.firing_state}: {trace.last_error or trace.held_by}")
    return Ruling(Verdict.MATCHED, decision.detail if decision else "")
