"""Telling the runner of accepted job events, so that nodes which wait for jobs wake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event that the runner is to be told; `attempts` counts this one too."""

    event_key: UUID
    source: str
    event_id: str
    experiment_id: str
    job_id: str
    attempt: int
    job_type: str
    job_name: str
    status: str
    attributes: Mapping[str, Any]
    occur_time: datetime
    heartbeat_timeout: timedelta | None
    depth: int
    cause_run_id: str
    trace_parent: str
    attempts: int


class Told(Enum):
    """What came of telling one event."""

    TAKEN = "TAKEN"
    """The runner has it, from this time or an earlier one."""
    REFUSED = "REFUSED"
    """The runner will never take this event: told no more."""
    FAILED = "FAILED"
    """Something went wrong with this event alone: told again later."""
    AWAY = "AWAY"
    """Nobody answered, or nobody who knows of job events: told again when there is somebody."""
