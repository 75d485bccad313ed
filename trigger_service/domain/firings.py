"""Firings: one match to be carried out, and its history."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class FiringState(StrEnum):
    """QUEUED -> DISPATCHING -> DISPATCHED, or aside into one of the others."""

    QUEUED = "QUEUED"
    DISPATCHING = "DISPATCHING"
    DISPATCHED = "DISPATCHED"
    RETRYING = "RETRYING"
    HELD = "HELD"
    DEAD = "DEAD"
    CANCELLED = "CANCELLED"


class Firing(BaseModel):
    """One firing as it is told to callers. `attempts` counts how often it was handed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    firing_id: UUID
    event_id: str
    workflow_id: UUID
    workflow_version: int
    experiment_id: str
    trigger_type: str
    replay: int
    state: FiringState
    run_id: str
    run_state: str
    run_end_time: datetime | None
    attempts: int
    last_error: str
    held_by: str
    next_attempt_time: datetime
    create_time: datetime
    dispatch_time: datetime | None
