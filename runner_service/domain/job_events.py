"""Job events as trigger_service tells them, for nodes that wait for jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner_service.domain.runs import JOB_EVENTS_SOURCE
from runner_service.domain.trigger_events import TriggerEvent
from wakepoint.chassis.errors import FieldViolation

_MAX_BYTES = {"experiment_id": 255, "job_id": 255, "job_type": 255, "event_id": 255, "job_name": 1_024}
STATUSES = frozenset(
    ("QUEUED", "LAUNCHING", "RUNNING", "COMPLETE", "FAILED", "STOPPED", "CANCELLED", "UNAUTHORIZED", "DELETED")
)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A job reached a status. Its identity is (experiment, job, attempt, status), whatever it is called."""

    experiment_id: str
    job_id: str
    job_type: str
    status: str
    occur_time: datetime
    attempt: int = 1
    event_id: str = ""
    job_name: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    trace_parent: str = ""

    @property
    def identity(self) -> str:
        """Its event_id in an inbox, unique in its experiment."""
        return f"{self.job_id}:{self.attempt}:{self.status}"

    def as_job(self) -> dict[str, Any]:
        """The job as conditions and nodes see it."""
        return {
            "experiment_id": self.experiment_id,
            "job_id": self.job_id,
            "attempt": self.attempt,
            "job_type": self.job_type,
            "job_name": self.job_name,
            "status": self.status,
            "attributes": dict(self.attributes),
        }

    def as_trigger_event(self) -> TriggerEvent:
        """The event for an inbox; its payload is what a run that the event fired would have as its input."""
        return TriggerEvent(
            event_id=self.identity,
            source=JOB_EVENTS_SOURCE,
            type="wakepoint.job_event",
            payload={"event_id": self.event_id, "job": self.as_job()},
            occur_time=self.occur_time,
            subject=self.job_id,
            trace_parent=self.trace_parent,
        )


def faults_of(event: JobEvent) -> list[FieldViolation]:
    """Why a job event cannot be taken."""
    required = ("experiment_id", "job_id", "job_type")
    faults = [FieldViolation(name, "must not be empty") for name in required if not getattr(event, name)]
    faults += [
        FieldViolation(name, f"must not be longer than {most} bytes")
        for name, most in _MAX_BYTES.items()
        if len(getattr(event, name).encode("utf-8", "surrogatepass")) > most
    ]
    if event.status not in STATUSES:
        faults.append(FieldViolation("status", f"must be one of {', '.join(sorted(STATUSES))}"))
    if event.attempt < 1:
        faults.append(FieldViolation("attempt", "must be at least 1"))
    return faults
