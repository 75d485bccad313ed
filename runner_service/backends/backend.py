"""What a place where jobs run must offer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from runner_service.domain.runs import Job


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended: `status` is COMPLETE, FAILED or STOPPED; `output` what it left as its result (JSON).

    `error` says why it failed: the end of what it wrote to stderr, or what became of it.
    """

    status: str
    exit_code: int | None = None
    output: Any = None
    error: str = ""

    def as_mapping(self) -> dict[str, Any]:
        """The result as it is stored and told."""
        return {"status": self.status, "exit_code": self.exit_code, "output": self.output, "error": self.error}


@dataclass(frozen=True, slots=True)
class JobSurroundings:
    """What a job is told about itself, besides its spec."""

    run_id: str
    job_id: str
    experiment_id: str
    trace_parent: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def as_environment(self) -> dict[str, str]:
        """The job's WAKEPOINT_ variables and TRACEPARENT."""
        variables = {
            "WAKEPOINT_RUN_ID": self.run_id,
            "WAKEPOINT_JOB_ID": self.job_id,
            "WAKEPOINT_EXPERIMENT_ID": self.experiment_id,
            **self.extra,
        }
        return variables | ({"TRACEPARENT": self.trace_parent} if self.trace_parent else {})


class JobBackend(Protocol):
    """Every call may be repeated: starting twice starts one job, stopping twice stops it."""

    async def start(self, job: Job, surroundings: JobSurroundings) -> Mapping[str, Any]:
        """Start the job unless it was started before; what is needed to find it again."""
        ...

    async def poll(self, job: Job) -> JobResult | None:
        """How the job ended, None while it runs."""
        ...

    async def stop(self, job: Job) -> None:
        """End the job and everything it started."""
        ...
