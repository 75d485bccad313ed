"""What trigger_service is told about the jobs of RunJob nodes."""

from collections.abc import Mapping
from typing import Any, Protocol


class JobFacts(Protocol):
    """A job, new or stored."""

    @property
    def job_id(self) -> str: ...
    @property
    def job_type(self) -> str: ...
    @property
    def job_name(self) -> str: ...


class RunFacts(Protocol):
    """The run a job belongs to; `depth` is how many runs led to it, one starting the next, itself not counted."""

    @property
    def run_id(self) -> str: ...
    @property
    def experiment_id(self) -> str: ...
    @property
    def depth(self) -> int: ...


def job_event(job: JobFacts, run: RunFacts, status: str, attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A job event as the outbox keeps it; its event_id makes repeated delivery harmless."""
    return {
        "event_id": f"{job.job_id}:{status}",
        "source": "wakepoint/runner",
        "experiment_id": run.experiment_id,
        "job_id": job.job_id,
        "job_type": job.job_type,
        "job_name": job.job_name,
        "status": status,
        "attributes": dict(attributes or {}),
        "causation": {"run_id": run.run_id, "depth": run.depth + 1},
    }
