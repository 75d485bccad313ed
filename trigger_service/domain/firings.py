"""Firings: one match to be carried out, and its history."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
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


def retry_delay(attempts: int, jitter: float, *, first: timedelta, longest: timedelta) -> timedelta:
    """How long to wait after the given number of attempts: doubling from `first` to `longest`, spread by `jitter`.

    `jitter` is a random number in [0, 1); the delay lies between half and all of the doubled value, so that firings
    refused together do not come back together.
    """
    doubled: timedelta = min(first * 2 ** min(attempts - 1, 20), longest)
    return doubled * (0.5 + 0.5 * jitter)


def event_input(event_id: str, job: dict[str, Any]) -> dict[str, Any]:
    """The input of a run that a job event started."""
    return {"event_id": event_id, "job": job}
