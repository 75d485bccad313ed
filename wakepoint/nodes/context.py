"""What a node is given when it runs, and what the runner offers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run a node belongs to, as far as a node needs to know it."""

    run_id: str
    workflow_id: str
    experiment_id: str
    input: Any
    create_time: datetime
    depth: int = 0
    attempt: int = 1

    def as_mapping(self) -> dict[str, Any]:
        """The value of `run` in CEL expressions: run_id, workflow_id, experiment_id, create_time (ISO 8601), depth."""
        return {
            "run_id": self.run_id,
            "workflow_id": self.workflow_id,
            "experiment_id": self.experiment_id,
            "create_time": self.create_time.isoformat(),
            "depth": self.depth,
        }


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that delivers what is posted to it as trigger events of one node, stable over suspensions."""

    webhook_id: str
    url: str


class Host(Protocol):
    """What a running node may ask of the runner. Authors reach it through `Context` and `TriggerNode`."""

    def now(self) -> datetime: ...

    async def wait(self, *, timeout: float | None, wake_time: datetime | None) -> dict[str, Any]:
        """Take the node's oldest trigger event; wait in memory for at most `timeout` seconds if there is none yet.

        `wake_time` asks for a timer event at that time. Raises TriggerInactivityTimeout.
        """
        ...

    async def take_pending(self, limit: int) -> list[dict[str, Any]]:
        """Take up to `limit` more events that are there, without waiting, and never more than `max_events` leaves."""
        ...

    async def collect(self, limit: int, seconds: float) -> list[dict[str, Any]]:
        """Take up to `limit` more events, those that come within `seconds` among them; fewer when the runner stops."""
        ...

    async def send(self, event: Mapping[str, Any]) -> None:
        """Write a trigger event for this node into the inbox; it is durable when this returns."""
        ...

    def webhook(self) -> Webhook: ...

    def record(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Add a line about this node to the run's log, committed with whatever is committed next."""
        ...

    def listen(self, topics: Sequence[str] = (), jobs: Mapping[str, Any] | None = None) -> None:
        """From the next wait on, what is published to these topics comes to the node, until it takes no more events.

        `jobs` does the same for job events: {experiment_id, since (aware), job_types, statuses, job_name_pattern,
        condition}. What was named before and is not named again is listened to no longer. NodeError.
        """
        ...

    async def publish(self, topic: str, event: Mapping[str, Any]) -> int:
        """Publish `{event_id, payload}` to a topic of the run's experiment, once an id; how many nodes it reaches."""
        ...

    async def submit_job(self, job: Mapping[str, Any]) -> str:
        """Start an external job once per activation and return its job_id; a repeat finds the one already started."""
        ...


@dataclass(slots=True)
class Context:
    """One passage of one node.

    `inputs` holds values by input name; an input whose source was skipped is absent. `idempotency_key`
    (`run:node:activation`) is the same over all attempts: pass it to whatever must not happen twice. `attempt` counts
    from 1. `carried` is what the node's previous activation left behind (see `TriggerNode.carry`).
    """

    node_id: str
    activation: str
    attempt: int
    inputs: Mapping[str, Any]
    run: RunInfo
    host: Host
    carried: Mapping[str, Any] = field(default_factory=dict)
    failures: int = 0

    @property
    def idempotency_key(self) -> str:
        return f"{self.run.run_id}:{self.node_id}:{self.activation}"

    def now(self) -> datetime:
        """The time, as the database sees it; aware, UTC."""
        return self.host.now()

    async def register_webhook(self) -> Webhook:
        """The node's webhook: an id and a url that stay the same over suspensions and restarts."""
        return self.host.webhook()

    def expression_values(self) -> dict[str, Any]:
        """The variables of CEL expressions: `input`, `inputs`, `run`."""
        return {"input": self.run.input, "inputs": dict(self.inputs), "run": self.run.as_mapping()}
