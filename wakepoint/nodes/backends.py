"""What an author of a job backend imports: where the jobs of RunJob nodes run.

A backend is found by the entry point group `wakepoint.job_backends`. The entry point's name is what RunJob's `backend`
says; it names something that is called with a folder for the backend's files and the environment that jobs begin with,
and answers a `JobBackend`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

ENTRY_POINT_GROUP = "wakepoint.job_backends"


class Job(Protocol):
    """A job to be run. `spec` is `{command, env, resources, on_runner_restart, input}` of its RunJob node.

    `handle` is what `start` answered; None until that is stored. `attempt` counts how often this very job was started.
    """

    @property
    def job_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def job_type(self) -> str: ...
    @property
    def job_name(self) -> str: ...
    @property
    def spec(self) -> Mapping[str, Any]: ...
    @property
    def handle(self) -> Mapping[str, Any] | None: ...


class CannotStart(Exception):
    """The job never ran and never will; the message says why."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended: `status` is COMPLETE, FAILED or STOPPED; `output` what it left as its result (JSON).

    `error` says why it failed: the end of what it wrote to stderr, or what became of it. `lost`: it ended with nobody
    there to see how.
    """

    status: str
    exit_code: int | None = None
    output: Any = None
    error: str = ""
    lost: bool = False

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
    """Every call may be repeated: starting twice starts one job, stopping twice stops it. An attempt of a job is a job
    of its own here. Whatever is raised, except for CannotStart, is tried again later.
    """

    async def start(self, job: Job, surroundings: JobSurroundings) -> Mapping[str, Any]:
        """Start the job unless it was started before; what is needed to find it again. CannotStart: it never will."""
        ...

    async def poll(self, job: Job) -> JobResult | None:
        """How the job ended, None while it runs and before it was started."""
        ...

    async def stop(self, job: Job) -> None:
        """Ask the job and everything it started to end, by force if need be; one that was not started never will be."""
        ...

    async def kept(self) -> list[str]:
        """The jobs of which files are kept."""
        ...

    async def discard(self, job_ids: Iterable[str]) -> None:
        """End what still runs of these jobs, and remove their files."""
        ...


class BackendFactory(Protocol):
    """What the entry point names."""

    def __call__(self, folder: Path, environment: Mapping[str, str]) -> JobBackend: ...
