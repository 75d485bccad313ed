"""GetTriggerStats: what each trigger of a workflow saw, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.workflows import Workflow
from trigger_service.storage import statistics, workflows
from trigger_service.storage.statistics import EventCount, FiringCount
from trigger_service.usecases.environment import Environment, known_id, not_found
from wakepoint.chassis.errors import Violations

MAX_BUCKETS = 1_000
MAX_WINDOW = timedelta(days=3_660)
_WINDOW = timedelta(hours=24)
_BUCKET = timedelta(hours=1)
_SHORTEST = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Counts:
    """`events` of the trigger's type and reach, those that `matched`, and what became of what was fired."""

    events: int = 0
    matched: int = 0
    dispatched: int = 0
    dead: int = 0
    runs_failed: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))


@dataclass(frozen=True, slots=True)
class TriggerStats:
    """One trigger's counts; `buckets` oldest first and without gaps, each with where it begins."""

    trigger_type: str
    total: Counts
    last_fired_time: datetime | None
    buckets: Sequence[tuple[datetime, Counts]]


async def get_trigger_stats(
    env: Environment, workflow_id: str, experiment_id: str, window: timedelta | None, bucket: timedelta | None
) -> list[TriggerStats]:
    """One entry per blueprint over the last `window` (24 hours). A bucket (one hour) is never longer than the window.

    InvalidArgument for spans that are not positive, or more than MAX_BUCKETS of them. NotFound.
    """
    window, bucket = _checked(window, bucket)
    key = known_id(workflow_id, "workflow")
    async with env.database.connection() as connection:
        workflow = await workflows.get(connection, key, experiment_id)
        if workflow is None:
            raise not_found(workflow_id, "workflow")
        start = await statistics.as_of(connection) - window
        reach = {config.trigger_type: _reach(config, workflow) for config in workflow.trigger_configs}
        events = await statistics.count_events(connection, set().union(*reach.values()), start, bucket)
        firings = await statistics.count_firings(connection, key, list(reach), start, bucket)
        last = await statistics.last_fired(connection, key, list(reach))
    starts = [start + bucket * number for number in range(-(-window // bucket))]
    return [
        _stats(trigger_type, starts, _of_type(trigger_type, reach[trigger_type], events, firings), last[trigger_type])
        for trigger_type in reach
    ]


def _checked(window: timedelta | None, bucket: timedelta | None) -> tuple[timedelta, timedelta]:
    faults = Violations()
    window = _WINDOW if window is None else window
    bucket = min(_BUCKET, window) if bucket is None else bucket
    if not _SHORTEST <= window <= MAX_WINDOW:
        faults.add("window", f"must be between 1 ms and {MAX_WINDOW.days} days")
    if bucket < _SHORTEST:
        faults.add("bucket", "must be at least 1 ms")
    elif bucket > window:
        faults.add("bucket", "must not be longer than the window")
    elif window > bucket * MAX_BUCKETS:
        faults.add("bucket", f"must not be so short that there are more than {MAX_BUCKETS} of them")
    faults.raise_if_any()
    return window, bucket


def _reach(config: TriggerConfig, workflow: Workflow) -> frozenset[str]:
    return frozenset(config.source_experiment_ids or (workflow.experiment_id,))


def _of_type(
    trigger_type: str, reach: frozenset[str], events: Iterable[EventCount], firings: Iterable[FiringCount]
) -> dict[datetime, Counts]:
    found: dict[datetime, Counts] = {}
    for seen in events:
        if seen.job_type == trigger_type and seen.experiment_id in reach:
            found[seen.bucket] = found.get(seen.bucket, Counts()).plus(Counts(events=seen.events))
    for fired in firings:
        if fired.trigger_type == trigger_type:
            counts = Counts(0, fired.matched, fired.dispatched, fired.dead, fired.runs_failed)
            found[fired.bucket] = found.get(fired.bucket, Counts()).plus(counts)
    return found


def _stats(
    trigger_type: str, starts: Sequence[datetime], found: dict[datetime, Counts], last: datetime | None
) -> TriggerStats:
    buckets = [(start, found.get(start, Counts())) for start in starts]
    total = Counts()
    for counts in found.values():
        total = total.plus(counts)
    return TriggerStats(trigger_type, total, last, buckets)
