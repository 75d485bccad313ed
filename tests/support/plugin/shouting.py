"""A package as a user would write it: a node type and a job backend."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wakepoint.nodes import Context, Node
from wakepoint.nodes.backends import Job, JobResult, JobSurroundings


class Shout(Node):
    """Says its input louder."""

    mark: str = "!"

    async def process(self, context: Context) -> Any:
        """The input in capitals, with the mark."""
        return str(context.inputs["input"]).upper() + self.mark


class EchoBackend:
    """Jobs that are over as soon as they start: their command is their output."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._started: set[str] = set()

    async def start(self, job: Job, surroundings: JobSurroundings) -> Mapping[str, Any]:
        """Remember the job."""
        self._started.add(job.job_id)
        return {"started_for": surroundings.experiment_id}

    async def poll(self, job: Job) -> JobResult | None:
        """The command, joined."""
        return JobResult("COMPLETE", 0, " ".join(job.spec["command"])) if job.job_id in self._started else None

    async def stop(self, job: Job) -> None:
        """There is nothing to stop."""

    async def kept(self) -> list[str]:
        """Nothing is kept."""
        return []

    async def discard(self, job_ids: Iterable[str]) -> None:
        """Nothing is kept."""
