"""Decisions that hung on the state of their moment, and the counters that make them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from trigger_service.domain.configs import TriggerConfig
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "decisions.sql")


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision to be stored if its event turns out to be new. `experiment_id`: the event's."""

    event_key: UUID
    workflow_id: UUID
    experiment_id: str
    verdict: str
    detail: str
    config: TriggerConfig
    firing_id: UUID | None = None
    replay: int = 0

    def to_row(self) -> dict[str, Any]:
        """The decision as the recording statement reads it."""
        return {
            "event_key": str(self.event_key),
            "workflow_id": str(self.workflow_id),
            "replay": self.replay,
            "experiment_id": self.experiment_id,
            "verdict": self.verdict,
            "detail": self.detail,
            "config": self.config.to_stored(),
            "firing_id": str(self.firing_id) if self.firing_id else None,
        }


@dataclass(frozen=True, slots=True)
class Admission:
    """A match of a trigger that debounces or is limited. `experiment_id`: the workflow's; `watched_id`: the event's."""

    firing_id: UUID
    event_key: UUID
    workflow_id: UUID
    experiment_id: str
    watched_id: str
    event_id: str
    workflow_version: int
    graph_hash: str
    depth: int
    paused: bool
    config: TriggerConfig
    replay: int = 0

    def to_row(self, place: int) -> dict[str, Any]:
        """The match as the admitting function reads it."""
        config = self.config
        debounce, limit = config.debounce, config.rate_limit
        return {
            "place": place,
            "firing_id": str(self.firing_id),
            "event_key": str(self.event_key),
            "workflow_id": str(self.workflow_id),
            "experiment_id": self.experiment_id,
            "watched_id": self.watched_id,
            "event_id": self.event_id,
            "trigger_type": config.trigger_type,
            "workflow_version": self.workflow_version,
            "graph_hash": self.graph_hash,
            "depth": self.depth,
            "replay": self.replay,
            "paused": self.paused,
            "delay": interval(config.delay),
            "quiet_period": interval(debounce.quiet_period if debounce else None),
            "max_wait": interval(debounce.max_wait if debounce else None),
            "max_firings": config.max_firings or None,
            "rate_max": limit.max_firings if limit else None,
            "rate_window": interval(limit.window if limit else None),
            "config": config.to_stored(),
        }


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as it was stored. `firing_id`: the firing that holds the match, or that the event was folded into."""

    event_key: UUID
    event_id: str
    workflow_id: UUID
    replay: int
    verdict: str
    detail: str
    config: TriggerConfig
    firing_id: UUID | None
    create_time: datetime


async def admit(connection: Connection, admissions: Sequence[Admission]) -> None:
    """Let matches become firings, join earlier ones, or be decided against; in order, per trigger one after another."""
    await connection.execute(_SQL["admit"], [admission.to_row(place) for place, admission in enumerate(admissions)])


async def of_events(connection: Connection, event_keys: Collection[UUID]) -> list[StoredDecision]:
    """What was stored for these events."""
    rows = await connection.fetch(_SQL["decisions_of_events"], list(event_keys))
    return [
        StoredDecision(
            row["event_key"],
            row["event_id"],
            row["workflow_id"],
            row["replay"],
            row["verdict"],
            row["detail"],
            TriggerConfig.model_validate(row["config"]),
            row["firing_id"],
            row["create_time"],
        )
        for row in rows
    ]


def interval(span: timedelta | None) -> str | None:
    """A span as Postgres reads one out of JSON."""
    return None if span is None else f"{span.total_seconds():.6f} seconds"
