"""Job events: a job reached a status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from trigger_service.domain import limits, statuses
from wakepoint.chassis.errors import InvalidArgument, from_validation_error


def _identifier(text: str) -> str:
    return _checked(text, limits.id_problem(text))


def _optional_identifier(text: str) -> str:
    return _checked(text, limits.id_problem(text, required=False))


def _job_name(text: str) -> str:
    too_long = len(text.encode("utf-8", "surrogatepass")) > limits.MAX_JOB_NAME_BYTES
    return _checked(text, f"must not be longer than {limits.MAX_JOB_NAME_BYTES} bytes" if too_long else None)


def _status(text: str) -> str:
    return _checked(text, None if text in statuses.ALL else f"must be one of {', '.join(statuses.ALL)}")


def _attributes(value: dict[str, Any]) -> dict[str, Any]:
    problem = limits.json_problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _heartbeat_timeout(value: timedelta | None) -> timedelta | None:
    if value is not None and not timedelta(0) < value <= limits.MAX_HEARTBEAT_TIMEOUT:
        raise ValueError(f"must be longer than 0 and not longer than {limits.MAX_HEARTBEAT_TIMEOUT.days} days")
    return value


def _checked(text: str, problem: str | None) -> str:
    if problem is not None:
        raise ValueError(problem)
    return text


@dataclass(frozen=True, slots=True)
class KnownJob:
    """What the jobs table knows and a report may leave out."""

    job_type: str
    job_name: str
    attributes: Mapping[str, Any]


class JobEvent(BaseModel):
    """One report. `event_id` empty: the service makes one. `occur_time` None: the moment of the report.

    `depth` counts the runs that stand behind this event in a row: 0 when no workflow caused it.
    """

    model_config = ConfigDict(frozen=True)

    experiment_id: Annotated[str, AfterValidator(_identifier)]
    job_id: Annotated[str, AfterValidator(_identifier)]
    attempt: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1
    status: Annotated[str, AfterValidator(_status)]
    event_id: Annotated[str, AfterValidator(_optional_identifier)] = ""
    source: Annotated[str, AfterValidator(_optional_identifier)] = ""
    job_type: Annotated[str, AfterValidator(_optional_identifier)] = ""
    job_name: Annotated[str, AfterValidator(_job_name)] = ""
    attributes: Annotated[dict[str, Any], AfterValidator(_attributes)] = Field(default_factory=dict)
    occur_time: datetime | None = None
    heartbeat_timeout: Annotated[timedelta | None, AfterValidator(_heartbeat_timeout)] = None
    depth: Annotated[int, Field(ge=0, le=limits.MAX_DEPTH)] = 0
    cause_run_id: Annotated[str, AfterValidator(_optional_identifier)] = ""
    trace_parent: Annotated[str, AfterValidator(_optional_identifier)] = ""

    @property
    def job_key(self) -> tuple[str, str, int]:
        """The job's key: experiment, job, attempt."""
        return (self.experiment_id, self.job_id, self.attempt)

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """What is unique about the event whatever it is called: the job and the status that it reached."""
        return (self.experiment_id, self.job_id, self.attempt, self.status)

    def as_known_job(self) -> KnownJob:
        """What is known of the job once this event is recorded."""
        return KnownJob(self.job_type, self.job_name, self.attributes)

    def as_job(self) -> dict[str, object]:
        """The job as conditions and fired runs see it."""
        return {
            "experiment_id": self.experiment_id,
            "job_id": self.job_id,
            "attempt": self.attempt,
            "job_type": self.job_type,
            "job_name": self.job_name,
            "status": self.status,
            "attributes": self.attributes,
        }


def job_event(fields: Mapping[str, Any], *, field: str = "event") -> JobEvent:
    """An event from plain values, or InvalidArgument naming every faulty field below `field`."""
    try:
        return JobEvent.model_validate(fields)
    except ValidationError as error:
        raise InvalidArgument.from_violations(from_validation_error(error, field)) from None


def completed(event: JobEvent, known: KnownJob | None, *, field: str = "event") -> JobEvent:
    """The event with what it left empty filled in. InvalidArgument when nobody knows the job's type."""
    given = {
        "job_type": event.job_type or (known.job_type if known else ""),
        "job_name": event.job_name or (known.job_name if known else ""),
        "attributes": event.attributes or (dict(known.attributes) if known else {}),
    }
    if not given["job_type"]:
        raise InvalidArgument.of(f"{field}.job_type", "must not be empty: the job is not known yet")
    return event.model_copy(update=given)
