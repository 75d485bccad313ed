"""The one matcher. What really fires, the dry run and every explanation ask it, so they cannot disagree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.events import JobEvent
from trigger_service.domain.globs import glob_matches
from trigger_service.domain.statuses import JobStatus

DEFAULT_STATUSES = (JobStatus.COMPLETE.value,)


class Verdict(StrEnum):
    """Why a workflow did or did not fire."""

    MATCHED = "MATCHED"
    TRIGGER_DISABLED = "TRIGGER_DISABLED"
    OTHER_TYPE = "OTHER_TYPE"
    OTHER_EXPERIMENT = "OTHER_EXPERIMENT"
    STATUS_MISMATCH = "STATUS_MISMATCH"
    NAME_MISMATCH = "NAME_MISMATCH"
    CONDITION_FALSE = "CONDITION_FALSE"
    CONDITION_ERROR = "CONDITION_ERROR"
    DEBOUNCED = "DEBOUNCED"
    RATE_LIMITED = "RATE_LIMITED"
    LIMIT_REACHED = "LIMIT_REACHED"
    EXPIRED = "EXPIRED"
    LOOP_LIMIT = "LOOP_LIMIT"
    PAUSED = "PAUSED"
    WORKFLOW_DELETED = "WORKFLOW_DELETED"


class ConditionError(ValueError):
    """A condition has no boolean value for this job; the text says why."""


Holds = Callable[[str], bool]
"""Whether a condition holds for the event at hand; raises ConditionError."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the matcher must know beside config and event; all of it at the moment of the match."""

    now: datetime
    max_depth: int
    workflow_experiment_id: str
    disabled_reason: str = ""
    paused: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict and, where it helps, the values that it hung on."""

    verdict: Verdict
    detail: str = ""


def rule(config: TriggerConfig | None, event: JobEvent, facts: Facts, holds: Holds) -> Ruling:
    """The verdict on one workflow. `config` is the workflow's config for the event's job type, None when it has none.

    The order of the checks is from what switches a trigger off as a whole to what depends on the single event; the
    condition comes last of those because it alone costs more than a comparison.
    """
    if facts.deleted:
        return Ruling(Verdict.WORKFLOW_DELETED)
    if config is None or config.trigger_type != event.job_type:
        return Ruling(Verdict.OTHER_TYPE, f"no trigger is on offer for job type {event.job_type}")
    if event.experiment_id not in (config.source_experiment_ids or (facts.workflow_experiment_id,)):
        return Ruling(Verdict.OTHER_EXPERIMENT, f"the trigger does not watch experiment {event.experiment_id}")
    if facts.disabled_reason:
        return Ruling(Verdict.TRIGGER_DISABLED, facts.disabled_reason)
    if not config.is_enabled:
        return Ruling(Verdict.TRIGGER_DISABLED, config.fault)
    if config.expire_time is not None and config.expire_time <= facts.now:
        return Ruling(Verdict.EXPIRED, f"the trigger expired at {config.expire_time.isoformat()}")
    return _rule_on_event(config, event, facts, holds)


def _rule_on_event(config: TriggerConfig, event: JobEvent, facts: Facts, holds: Holds) -> Ruling:
    statuses = config.on_statuses or DEFAULT_STATUSES
    if event.status not in statuses:
        return Ruling(Verdict.STATUS_MISMATCH, f"{event.status} is not among {', '.join(statuses)}")
    if config.job_name_pattern and not glob_matches(event.job_name, config.job_name_pattern):
        return Ruling(Verdict.NAME_MISMATCH, f"{event.job_name!r} does not match {config.job_name_pattern!r}")
    if event.depth > facts.max_depth:
        return Ruling(Verdict.LOOP_LIMIT, f"{event.depth} workflow runs in a row led to this event")
    if config.condition:
        try:
            if not holds(config.condition):
                return Ruling(Verdict.CONDITION_FALSE)
        except ConditionError as error:
            return Ruling(Verdict.CONDITION_ERROR, str(error))
    return Ruling(Verdict.PAUSED) if facts.paused else Ruling(Verdict.MATCHED)
