"""What nodes listen to and publish, checked as far as it is theirs to get right."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from runner_service.domain.job_events import STATUSES
from runner_service.domain.listening import JobFilter, Listening, topic_faults, topic_problem
from runner_service.domain.runs import PUBLISH_SOURCE
from runner_service.domain.trigger_events import MAX_EVENT_BYTES, MAX_IDENTITY_BYTES, TriggerEvent
from runner_service.usecases.execution.frames import Frame
from runner_service.usecases.execution.outcomes import storable
from runner_service.usecases.job_conditions import condition_problem
from runner_service.usecases.publish_event import Publication
from wakepoint.chassis.ids import new_id
from wakepoint.nodes import NodeError, RunInfo

MAX_JOB_TYPES = 100


def listening_of(run: RunInfo, frame: Frame, topics: Sequence[str], jobs: Mapping[str, Any] | None) -> Listening:
    """What a node listens to. NodeError, final, for names and conditions that cannot be."""
    distinct = tuple(dict.fromkeys(topics))
    storable({"topics": list(distinct)}, "topics", MAX_EVENT_BYTES)
    faults = [f"{fault.field}: {fault.description}" for fault in topic_faults(distinct)]
    if faults:
        raise NodeError(f"cannot listen to this: {'; '.join(faults)}", retryable=False)
    wanted = None if jobs is None else _filter_of(run, jobs)
    return Listening(frame.graph_node.id, run.experiment_id, distinct, wanted, frame.room())


def publication_of(run: RunInfo, topic: str, event: Mapping[str, Any], now: datetime) -> Publication:
    """What a node publishes, in its run's experiment. NodeError, final, for what cannot be stored."""
    if (problem := topic_problem(topic)) is not None:
        raise NodeError(f"cannot publish to this topic: it {problem}", retryable=False)
    storable({"topic": topic}, "topic", MAX_EVENT_BYTES)
    sent = TriggerEvent(
        event_id=str(event.get("event_id") or new_id()),
        source=PUBLISH_SOURCE,
        type="wakepoint.published",
        payload=event.get("payload"),
        occur_time=now,
        subject=run.run_id,
        topic=topic,
    )
    if len(sent.event_id.encode("utf-8", "surrogatepass")) > MAX_IDENTITY_BYTES:
        raise NodeError(f"an event_id must have at most {MAX_IDENTITY_BYTES} bytes", retryable=False)
    storable(sent.as_node_sees_it(), "event", MAX_EVENT_BYTES)
    return Publication(run.experiment_id, topic, sent)


def _filter_of(run: RunInfo, jobs: Mapping[str, Any]) -> JobFilter:
    wanted = JobFilter(
        experiment_id=jobs.get("experiment_id") or run.experiment_id,
        since=jobs.get("since") or run.create_time,
        job_types=tuple(dict.fromkeys(jobs.get("job_types") or ())),
        statuses=tuple(dict.fromkeys(jobs.get("statuses") or ("COMPLETE",))),
        job_name_pattern=jobs.get("job_name_pattern") or "",
        condition=jobs.get("condition") or "",
    )
    problems = []
    if not set(wanted.statuses) <= STATUSES:
        problems.append(f"statuses: must be among {', '.join(sorted(STATUSES))}")
    if len(wanted.job_types) > MAX_JOB_TYPES:
        problems.append(f"job_types: must be at most {MAX_JOB_TYPES}")
    if "" in wanted.job_types:
        problems.append("job_types: must not be empty texts")
    if wanted.since.tzinfo is None:
        problems.append("since: needs a time zone")
    if wanted.condition and (problem := condition_problem(wanted.condition)) is not None:
        problems.append(f"condition: {problem}")
    if problems:
        raise NodeError(f"cannot wait for these jobs: {'; '.join(problems)}", retryable=False)
    return wanted
