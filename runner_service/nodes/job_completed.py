from typing import Any, Literal

from pydantic import AwareDatetime, Field

from wakepoint.nodes import Context, TriggerNode, cel_field

Status = Literal[
    "QUEUED", "LAUNCHING", "RUNNING", "COMPLETE", "FAILED", "STOPPED", "CANCELLED", "UNAUTHORIZED", "DELETED"
]


def _complete_only() -> list[Status]:
    return ["COMPLETE"]


class JobCompleted(TriggerNode):
    """Waits for a job of its experiment to reach a status, and gives out an event whose payload is `{event_id, job}`.

    `job` is `{experiment_id, job_id, attempt, job_type, job_name, status, attributes}`. Of what trigger_service took in
    the last 24 hours, job events that occurred since the run's creation count also when they come before the wait.
    """

    job_types: list[str] = Field(default_factory=list, max_length=100)
    """Which types of jobs; none named: any."""
    job_name_pattern: str = Field(default="", max_length=1_000)
    """A glob such as `nightly-*` that the job's name has to match."""
    statuses: list[Status] = Field(default_factory=_complete_only, min_length=1, max_length=9)
    """Which statuses count."""
    condition: str = cel_field(variables=("job",), default="")
    """A CEL expression over `job` that has to be true; one without a value for a job is not."""
    experiment_id: str = Field(default="", max_length=255)
    """Whose jobs; the run's own experiment unless given."""
    since: AwareDatetime | None = None
    """Only events that occurred at this time or later; the run's creation unless given."""

    async def process(self, context: Context) -> Any:
        """See TriggerNode; listens first."""
        context.host.listen(
            jobs={
                "experiment_id": self.experiment_id,
                "since": self.since,
                "job_types": self.job_types,
                "statuses": self.statuses,
                "job_name_pattern": self.job_name_pattern,
                "condition": self.condition,
            }
        )
        return await super().process(context)
