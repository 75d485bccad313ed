"""Job events: their retained copy, and the waits that look for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from runner_service.domain.job_events import JobEvent
from runner_service.domain.listening import JobFilter, Listening
from runner_service.domain.trigger_events import size_of
from runner_service.storage.encoding import time_text
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "job_events.sql")


@dataclass(frozen=True, slots=True)
class JobWait:
    """A wait that the index found for an event; its pattern and its condition are still to be asked."""

    publication_id: int
    run_id: str
    node_id: str
    job_name_pattern: str
    condition: str


@dataclass(frozen=True, slots=True)
class RetainedJobEvent:
    """A job event of the retained copy; `job` is what conditions see."""

    publication_id: int
    job: Mapping[str, Any]


async def record_job_events(
    connection: Connection, events: Sequence[JobEvent], kept: timedelta
) -> dict[tuple[str, str], int]:
    """Keep the events that are new: their publication ids by experiment and identity."""
    rows = await connection.fetch(QUERIES["record_job_events"], [_event_json(event) for event in events], kept)
    return {(row["experiment_id"], row["event_id"]): row["publication_id"] for row in rows}


async def waits_for_jobs(connection: Connection, publication_ids: Sequence[int]) -> list[JobWait]:
    """The waits for which experiment, type, status and time of these events are right."""
    rows = await connection.fetch(QUERIES["waits_for_jobs"], list(publication_ids))
    return [JobWait(**{**dict(row), "run_id": str(row["run_id"])}) for row in rows]


async def count_woken(connection: Connection, woken: Mapping[int, int]) -> None:
    """Note how many nodes each event reaches."""
    await connection.execute(QUERIES["count_woken"], list(woken), list(woken.values()))


async def listen_for_jobs(connection: Connection, run_id: str, nodes: Sequence[Listening]) -> set[str]:
    """Register what the nodes listen for; answers those that did not listen for all of it before."""
    given = [_filter_json(run_id, node.node_id, node.jobs) for node in nodes if node.jobs is not None]
    await connection.execute(QUERIES["stop_listening_for_other_jobs"], given)
    rows = await connection.fetch(QUERIES["listen_for_jobs"], given)
    return {row["node_id"] for row in rows if row["fresh"]}


async def earlier_job_events(
    connection: Connection, run_id: str, node_id: str, wanted: JobFilter, *, after: int, limit: int
) -> list[RetainedJobEvent]:
    """A page of what the retained copy has for a wait, beyond publication `after`."""
    rows = await connection.fetch(
        QUERIES["earlier_job_events"],
        wanted.experiment_id,
        after,
        list(wanted.index_types),
        list(wanted.statuses),
        wanted.since,
        UUID(run_id),
        node_id,
        limit,
    )
    return [RetainedJobEvent(row["publication_id"], row["job"]) for row in rows]


def _event_json(event: JobEvent) -> dict[str, Any]:
    seen = event.as_trigger_event()
    return {
        "experiment_id": event.experiment_id,
        "source": seen.source,
        "event_id": seen.event_id,
        "event": seen.as_node_sees_it(),
        "event_bytes": size_of(seen),
        "job_type": event.job_type,
        "status": event.status,
        "occur_time": time_text(event.occur_time),
    }


def _filter_json(run_id: str, node_id: str, wanted: JobFilter) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "node_id": node_id,
        "experiment_id": wanted.experiment_id,
        "job_types": list(wanted.index_types),
        "statuses": list(wanted.statuses),
        "job_name_pattern": wanted.job_name_pattern,
        "condition": wanted.condition,
        "since": time_text(wanted.since),
    }
