"""DeliverJobEvents: job events are kept for a while, and wake the nodes that wait for such jobs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from runner_service.domain.job_events import JobEvent, faults_of
from runner_service.domain.listening import JOB_EVENTS_TOPIC, lets_through
from runner_service.domain.trigger_events import MAX_EVENT_BYTES, size_of
from runner_service.storage import fan_out, job_events, topics
from runner_service.usecases.job_conditions import about
from runner_service.usecases.signals import Signals
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import FieldViolation, InvalidArgument, Violations
from wakepoint.chassis.protojson import check_text

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class JobEventTaken:
    """What became of an event: whether it was `new` here, and how many nodes it reaches by this call."""

    new: bool
    woken_count: int


JobEventResult = JobEventTaken | InvalidArgument
Unreadable = Sequence[FieldViolation]


async def deliver_job_events(
    database: Database,
    signals: Signals,
    events: Sequence[JobEvent | Unreadable],
    kept: timedelta = KEPT,
) -> list[JobEventResult]:
    """Take the events in one transaction; results in order, one that is not sound failing alone."""
    checked = [_checked(event) for event in events]
    sound = [event for event in checked if isinstance(event, JobEvent)]
    taken = await database.run(lambda connection: _take(connection, sound, kept)) if sound else {}
    failpoints.hit("runner.job_events.after_commit")
    if any(taken.values()):
        signals.fan_out_grew()
    results: list[JobEventResult] = []
    for event in checked:
        if isinstance(event, JobEvent):
            # Told twice in one call, only the first is new.
            woken = taken.pop((event.experiment_id, event.identity), None)
            results.append(JobEventTaken(woken is not None, woken or 0))
        else:
            results.append(event)
    return results


def _checked(event: JobEvent | Unreadable) -> JobEvent | InvalidArgument:
    if not isinstance(event, JobEvent):
        return InvalidArgument.from_violations(event)
    found = Violations()
    found.extend(faults_of(event))
    seen = event.as_trigger_event()
    check_text(event.experiment_id, "experiment_id", found)
    check_text(seen.as_node_sees_it(), "event", found)
    if not len(found) and (size := size_of(seen)) > MAX_EVENT_BYTES:
        found.add("attributes", f"the event has {size} bytes, more than {MAX_EVENT_BYTES}")
    return InvalidArgument.from_violations(found) if len(found) else event


async def _take(connection: Connection, events: Sequence[JobEvent], kept: timedelta) -> dict[tuple[str, str], int]:
    """How many nodes each new event reaches, by experiment and identity."""
    # Whoever begins to wait for jobs now either has committed that, and is found below, or waits and finds the event.
    experiments = sorted({event.experiment_id for event in events})
    await topics.lock_topics(connection, [(experiment_id, JOB_EVENTS_TOPIC) for experiment_id in experiments])
    new = await job_events.record_job_events(connection, events, kept)
    reached = await _reached(connection, events, new) if new else []
    await fan_out.add_fan_out(connection, [(wait.publication_id, wait.run_id, wait.node_id) for wait in reached])
    woken = Counter(wait.publication_id for wait in reached)
    if woken:
        await job_events.count_woken(connection, woken)
    failpoints.hit("runner.job_events.before_commit")
    return {key: woken[publication_id] for key, publication_id in new.items()}


async def _reached(
    connection: Connection, events: Sequence[JobEvent], new: dict[tuple[str, str], int]
) -> list[job_events.JobWait]:
    names, asking = {}, {}
    for event in events:
        publication_id = new.get((event.experiment_id, event.identity))
        if publication_id is not None and publication_id not in asking:
            names[publication_id] = event.job_name
            asking[publication_id] = about(event.as_job())
    return [
        wait
        for wait in await job_events.waits_for_jobs(connection, list(asking))
        if lets_through(wait.job_name_pattern, wait.condition, names[wait.publication_id], asking[wait.publication_id])
    ]
