"""Job events: what matching them needs, and writing them with all that hangs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from trigger_service.domain.configs import TriggerConfig, WhilePaused
from trigger_service.domain.events import JobEvent, KnownJob
from trigger_service.domain.firings import Firing
from trigger_service.domain.statuses import UNFINISHED
from trigger_service.storage.decisions import NewDecision
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "events.sql")
_UNFINISHED = sorted(UNFINISHED)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enabled config that watches the event's experiment, type and status. `graph_hash` in hex."""

    workflow_id: UUID
    experiment_id: str
    name: str
    version: int
    graph_hash: str
    paused: bool
    config: TriggerConfig
    while_paused: WhilePaused = WhilePaused.HOLD


@dataclass(frozen=True, slots=True)
class MatchView:
    """One snapshot for matching a batch. Candidates by (watched experiment, job type)."""

    now: datetime
    jobs: Mapping[tuple[str, str, int], KnownJob]
    revisions: Mapping[str, int]
    candidates: Mapping[tuple[str, str], Sequence[Candidate]]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be recorded under its own key, with all that the matcher knew beside it: so it can be asked again.

    `keeps_job`: the job's row is not written, because the event was read from it.
    """

    event_key: UUID
    event: JobEvent
    revision: int
    match_time: datetime
    max_depth: int
    keeps_job: bool = False

    @property
    def event_id(self) -> str:
        """The reporter's id, or the one made for a report that has none."""
        return self.event.event_id or str(self.event_key)


@dataclass(frozen=True, slots=True)
class NewFiring:
    """A firing to be recorded if its event turns out to be new. `delay`: how long it is held, as Postgres reads it."""

    firing_id: UUID
    event_key: UUID
    workflow_id: UUID
    experiment_id: str
    event_id: str
    trigger_type: str
    workflow_version: int
    graph_hash: str
    depth: int
    state: str
    held_by: str
    delay: str | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """What a repeated report meets: the event of its job and status, and the event that bears its id."""

    event_key: UUID | None
    event_id: str
    id_event_key: UUID | None
    is_purged: bool


async def match_view(connection: Connection, events: Sequence[JobEvent]) -> MatchView:
    """Jobs, revisions and candidate configs for these events, all of one moment."""
    row = await connection.fetchrow(
        _SQL["match_view"],
        [event.experiment_id for event in events],
        [event.job_id for event in events],
        [event.attempt for event in events],
        [event.job_type for event in events],
        [event.status for event in events],
    )
    assert row is not None
    return _view(row)


async def match_view_at(connection: Connection, revisions: Mapping[str, int], events: Sequence[JobEvent]) -> MatchView:
    """The same with the configs that were valid at these revisions, one per experiment; whether paused, as of now."""
    row = await connection.fetchrow(
        _SQL["match_view_at"],
        [event.experiment_id for event in events],
        [event.job_id for event in events],
        [event.attempt for event in events],
        [event.job_type for event in events],
        [event.status for event in events],
        [revisions[event.experiment_id] for event in events],
    )
    assert row is not None
    return _view(row)


def _view(row: Any) -> MatchView:
    candidates: dict[tuple[str, str], list[Candidate]] = {}
    for item in row["candidates"]:
        candidates.setdefault((item["watched_id"], item["trigger_type"]), []).append(_candidate(item))
    jobs = {
        (job["experiment_id"], job["job_id"], job["attempt"]): KnownJob(
            job["job_type"], job["job_name"], job["attributes"] if isinstance(job["attributes"], dict) else {}
        )
        for job in row["jobs"]
    }
    return MatchView(row["now"], jobs, row["revisions"], candidates)


async def record(
    connection: Connection,
    events: Sequence[NewEvent],
    firings: Sequence[NewFiring],
    decisions: Sequence[NewDecision] = (),
) -> tuple[frozenset[UUID], list[Firing]]:
    """Write events and what hangs on them. The keys of the events that were new, and the firings written with them."""
    row = await connection.fetchrow(
        _SQL["record_events"],
        [_event_row(new, place) for place, new in enumerate(events)],
        [
            {name: str(value) if isinstance(value, UUID) else value for name, value in asdict(new).items()}
            for new in firings
        ],
        _UNFINISHED,
        [decision.to_row() for decision in decisions],
    )
    assert row is not None
    written = sorted((Firing.model_validate(item) for item in row["firings"]), key=lambda firing: firing.firing_id)
    return frozenset(UUID(str(key)) for key in row["accepted"]), written


async def find_originals(connection: Connection, events: Sequence[JobEvent]) -> list[Original]:
    """For each event that was not new, what it repeats."""
    rows = await connection.fetch(
        _SQL["find_originals"],
        [event.experiment_id for event in events],
        [event.job_id for event in events],
        [event.attempt for event in events],
        [event.status for event in events],
        [event.source for event in events],
        [event.event_id for event in events],
    )
    return [Original(row["event_key"], row["event_id"] or "", row["id_event_key"], row["is_purged"]) for row in rows]


def _candidate(item: Mapping[str, Any]) -> Candidate:
    return Candidate(
        UUID(item["workflow_id"]),
        item["experiment_id"],
        item["name"],
        item["version"],
        item["graph_hash"].removeprefix("\\x"),
        item["paused"],
        TriggerConfig.model_validate(item["config"]),
        WhilePaused(item["while_paused"]),
    )


def _event_row(new: NewEvent, place: int) -> dict[str, Any]:
    event = new.event
    return {
        "event_key": str(new.event_key),
        "source": event.source,
        "event_id": new.event_id,
        **event.as_job(),
        "occur_time": event.occur_time.isoformat() if event.occur_time else None,
        "heartbeat_timeout": seconds_text(event.heartbeat_timeout) if event.heartbeat_timeout else None,
        "depth": event.depth,
        "cause_run_id": event.cause_run_id,
        "trace_parent": event.trace_parent,
        "revision": new.revision,
        "match_time": new.match_time.isoformat(),
        "max_depth": new.max_depth,
        "place": place,
        "keeps_job": new.keeps_job,
    }


def seconds_text(span: timedelta) -> str:
    """A span as Postgres reads it in JSON, to the microsecond."""
    return f"{span // timedelta(microseconds=1)} microseconds"
