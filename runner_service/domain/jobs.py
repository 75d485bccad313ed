"""The jobs of RunJob nodes, and what trigger_service is told about them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

MAX_ATTRIBUTES_CHARACTERS = 200 * 1024
"""As JSON; trigger_service takes 256 KiB. The node's own output may be larger."""


@dataclass(frozen=True, slots=True)
class Job:
    """An external job. `handle` is what its backend needs to find it again; None until it is known to be started.

    `attempt` counts how often this very job was started: more than once only if it is run again after a restart of its
    runner. `depth` and `trace_parent` are its run's; `stopping`: it is to end, because its run did.
    """

    job_id: str
    run_id: str
    node_id: str
    activation: str
    experiment_id: str
    job_type: str
    job_name: str
    backend: str
    spec: Mapping[str, Any]
    handle: Mapping[str, Any] | None
    attempt: int
    depth: int
    trace_parent: str
    stopping: bool

    @property
    def key(self) -> tuple[str, int]:
        return self.job_id, self.attempt


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


def job_event(
    job: JobFacts, run: RunFacts, status: str, attributes: Mapping[str, Any] | None = None, *, attempt: int = 1
) -> dict[str, Any]:
    """A job event as the outbox keeps it; its event_id makes repeated delivery harmless."""
    return {
        "event_id": f"{job.job_id}:{attempt}:{status}",
        "source": "wakepoint/runner",
        "experiment_id": run.experiment_id,
        "job_id": job.job_id,
        "attempt": attempt,
        "job_type": job.job_type,
        "job_name": job.job_name,
        "status": status,
        "attributes": dict(attributes or {}),
        "causation": {"run_id": run.run_id, "depth": run.depth + 1},
    }


def attributes_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a job leaves are its attributes, so that conditions can look at them; `result` as in JobResult.

    What is too large for an event is left out, and its size told instead.
    """
    if result["status"] != "COMPLETE":
        return {} if result["exit_code"] is None else {"exit_code": result["exit_code"]}
    output = result["output"]
    if output is None:
        return {}
    size = len(json.dumps(output, ensure_ascii=False))
    if size > MAX_ATTRIBUTES_CHARACTERS:
        return {"output_omitted": True, "output_characters": size}
    return dict(output) if isinstance(output, Mapping) else {"output": output}
