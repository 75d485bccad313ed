"""Past events, the configs of their moment, and what is kept of how their matches went."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.events import JobEvent
from trigger_service.domain.explaining import PastEvent, Trace, WatchingWorkflow
from trigger_service.domain.firings import FiringState
from trigger_service.domain.matching import Ruling, Verdict
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "explanations.sql")

Place = tuple[datetime, UUID]
"""Where an event stands among others: when it was recorded, and its key."""


@dataclass(frozen=True, slots=True)
class KnownWorkflow:
    """A workflow, live or deleted."""

    workflow_id: UUID
    experiment_id: str
    name: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some of an experiment's events: recorded from `start` on and before `end` (None: until now), of these types.

    `workflow_id`: also events of other types that fired this workflow.
    """

    experiment_id: str
    start: datetime
    end: datetime | None
    job_types: Collection[str]
    workflow_id: UUID | None = None


async def find_events(connection: Connection, experiment_id: str, event_id: str) -> list[PastEvent]:
    """The events that bear an id, one per source that used it."""
    return [past_event(row) for row in await connection.fetch(_SQL["find_events"], experiment_id, event_id)]


async def workflows_at(
    connection: Connection, past: PastEvent, after: UUID | None, limit: int
) -> list[WatchingWorkflow]:
    """Workflows by id that an event concerned when it came, at most `limit`."""
    rows = await connection.fetch(
        _SQL["workflows_at"], past.event.experiment_id, past.revision, past.match_time, after, limit
    )
    return [_watching(row, row["workflow_id"], row["experiment_id"], row["name"]) for row in rows]


async def workflows_now(connection: Connection, experiment_id: str, limit: int) -> list[WatchingWorkflow]:
    """Live workflows by id that an experiment's events concern, at most `limit`."""
    rows = await connection.fetch(_SQL["workflows_now"], experiment_id, limit) if limit else []
    return [_watching(row, row["workflow_id"], row["experiment_id"], row["name"]) for row in rows]


async def traces(connection: Connection, pairs: Collection[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Trace]:
    """What is kept of how these events' matches with these workflows went; nothing where nothing was."""
    rows = await connection.fetch(_SQL["traces"], [event for event, _ in pairs], [workflow for _, workflow in pairs])
    return {(row["event_key"], row["workflow_id"]): _trace(row) for row in rows}


async def find_workflow(connection: Connection, workflow_id: UUID, experiment_id: str) -> KnownWorkflow | None:
    """A workflow of this experiment, if one is given; also one that was deleted."""
    row = await connection.fetchrow(_SQL["find_workflow"], workflow_id, experiment_id)
    return KnownWorkflow(row["workflow_id"], row["experiment_id"], row["name"], row["create_time"]) if row else None


async def events_of_workflow(
    connection: Connection, workflow: KnownWorkflow, before: Place | None, limit: int
) -> list[tuple[PastEvent, WatchingWorkflow]]:
    """Events of the workflow's reach, newest first, each with the workflow as it was then."""
    moment, key = before or (None, None)
    rows = await connection.fetch(
        _SQL["events_of_workflow"], workflow.workflow_id, moment, key, limit, workflow.create_time
    )
    return [
        (past_event(row), _watching(row, workflow.workflow_id, row["workflow_experiment_id"], workflow.name))
        for row in rows
    ]


async def watched_experiments(connection: Connection, workflow_id: UUID) -> list[str]:
    """Every experiment that a workflow ever watched."""
    return [row["experiment_id"] for row in await connection.fetch(_SQL["watched_experiments"], workflow_id)]


async def events_between(connection: Connection, stretch: Stretch, after: Place | None, limit: int) -> list[PastEvent]:
    """A stretch of events, oldest first, at most `limit` after a place."""
    moment, key = after or (None, None)
    rows = await connection.fetch(
        _SQL["events_between"],
        stretch.experiment_id,
        stretch.start,
        stretch.end,
        moment,
        key,
        sorted(stretch.job_types),
        stretch.workflow_id,
        limit,
    )
    return [past_event(row) for row in rows]


def past_event(row: Any) -> PastEvent:
    """An event as it is stored. What foreign SQL may have written into a job is not trusted to be an object."""
    attributes = row["attributes"] if isinstance(row["attributes"], dict) else {}
    names = ("experiment_id", "job_id", "attempt", "status", "event_id", "source", "job_type", "job_name")
    more = ("occur_time", "depth", "cause_run_id", "trace_parent")
    event = JobEvent.model_construct(**{name: row[name] for name in (*names, *more)}, attributes=attributes)
    match_time = row["match_time"] or row["create_time"]
    return PastEvent(row["event_key"], event, row["revision"], match_time, row["max_depth"], row["create_time"])


def _watching(row: Any, workflow_id: UUID, experiment_id: str, name: str) -> WatchingWorkflow:
    return WatchingWorkflow(
        workflow_id,
        experiment_id,
        name,
        _configs(row["configs"]),
        row["disabled_reason"],
        row["paused"],
        row["deleted"],
    )


def _configs(stored: Sequence[Any]) -> tuple[TriggerConfig, ...]:
    return tuple(TriggerConfig.model_validate(config) for config in stored)


def _trace(row: Any) -> Trace:
    decision = Ruling(Verdict(row["verdict"]), row["detail"]) if row["verdict"] else None
    state = FiringState(row["state"]) if row["state"] else None
    return Trace(state, row["held_by"] or "", row["last_error"] or "", row["run_state"] or "", decision)
