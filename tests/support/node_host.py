"""One node's life without a runner: a host driven by a ManualClock, with inbox, timers, suspensions, activations."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import (
    Context,
    Node,
    NodeSuspended,
    RunInfo,
    TriggerEvent,
    TriggerInactivityTimeout,
    TriggerNode,
    Webhook,
)

NODE_ID = "node"


@dataclass(frozen=True)
class Completed:
    output: Any


@dataclass(frozen=True)
class Suspended:
    reason: str
    state: Mapping[str, Any]
    metadata: Mapping[str, Any]
    wake_time: datetime | None


class NodeHost:
    """What a runner offers a node (`wakepoint.nodes.Host`), in memory."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.pending: deque[TriggerEvent] = deque()
        self.arrived = asyncio.Event()
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.jobs: list[dict[str, Any]] = []
        self.listening: list[tuple[list[str], dict[str, Any] | None]] = []
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.hot_waits: list[tuple[float | None, datetime | None]] = []
        self.activation = 1
        self._fired: set[str] = set()

    def now(self) -> datetime:
        return self.clock.now()

    def deliver(self, event_id: str, payload: Any, *, source: str = "test", type: str = "test") -> None:  # noqa: A002
        time = self.now().isoformat()
        event = {"event_id": event_id, "source": source, "type": type, "payload": payload}
        self.pending.append({**event, "timestamp": time, "occur_time": time})
        self.arrived.set()

    def fire(self, wake_time: datetime) -> None:
        """As the database does: a time wakes an activation once, however often it is asked for."""
        time = wake_time.isoformat()
        event_id = f"{NODE_ID}:{self.activation}:{time}"
        if event_id not in self._fired:
            self._fired.add(event_id)
            self.deliver(event_id, {"wake_time": time}, source="wakepoint/timer", type="wakepoint.timer")

    async def wait(self, *, timeout: float | None, wake_time: datetime | None) -> TriggerEvent:
        if not self.pending:
            seconds = None if wake_time is None else (wake_time - self.now()).total_seconds()
            if timeout == 0 or (timeout is not None and seconds is not None and seconds > timeout):
                raise TriggerInactivityTimeout
            self.hot_waits.append((timeout, wake_time))
            if not await self.until_arrival(wake_time, timeout):
                raise TriggerInactivityTimeout
        return self.pending.popleft()

    async def until_arrival(self, wake_time: datetime | None, timeout: float | None = None) -> bool:
        """Wait until an event is there, letting the timer fire when it is due; False when the timeout came first."""
        end = None if timeout is None else self.clock.monotonic() + timeout
        while not self.pending:
            if wake_time is not None and self.now() >= wake_time:
                self.fire(wake_time)
                wake_time = None
                continue
            spans = [] if end is None else [end - self.clock.monotonic()]
            spans += [] if wake_time is None else [(wake_time - self.now()).total_seconds()]
            if end is not None and end <= self.clock.monotonic():
                return False
            self.arrived.clear()
            try:
                await self.clock.wait_for(self.arrived.wait(), min(spans, default=None))
            except TimeoutError:
                continue
        return True

    async def take_pending(self, limit: int) -> list[TriggerEvent]:
        return [self.pending.popleft() for _ in range(min(limit, len(self.pending)))]

    async def collect(self, limit: int, seconds: float) -> list[TriggerEvent]:
        end = self.clock.monotonic() + seconds
        taken: list[TriggerEvent] = []
        while len(taken) < limit and await self.until_arrival(None, max(end - self.clock.monotonic(), 0)):
            taken.append(self.pending.popleft())
        return taken

    async def send(self, event: Mapping[str, Any]) -> None:
        whole: dict[str, Any] = dict(event) if "payload" in event else {"payload": dict(event)}
        self.deliver(whole.get("event_id", f"sent-{len(self.pending)}"), whole["payload"], source="wakepoint/node")
        if "timestamp" in whole:
            self.pending[-1].update(timestamp=whole["timestamp"], occur_time=whole["timestamp"])

    def webhook(self) -> Webhook:
        return Webhook("hook-1", "http://runner.test/hooks/token")

    def record(self, event_type: str, payload: Mapping[str, Any]) -> None:
        self.records.append((event_type, dict(payload)))

    def listen(self, topics: Sequence[str] = (), jobs: Mapping[str, Any] | None = None) -> None:
        self.listening.append((list(topics), None if jobs is None else dict(jobs)))

    def deliver_published(self, topic: str, event_id: str, payload: Any) -> None:
        self.deliver(event_id, payload)
        self.pending[-1]["topic"] = topic

    async def publish(self, topic: str, event: Mapping[str, Any]) -> int:
        self.published.append((topic, dict(event)))
        return 0

    async def submit_job(self, job: Mapping[str, Any]) -> str:
        self.jobs.append(dict(job))
        return f"job-{len(self.jobs)}"

    def recorded(self, event_type: str) -> list[dict[str, Any]]:
        return [payload for recorded_type, payload in self.records if recorded_type == event_type]


class NodeLife:
    """Passages of one node, one after the other, as a runner has them; `make` builds the node anew for each."""

    def __init__(
        self,
        clock: ManualClock,
        make: Callable[[], Node],
        *,
        run_input: Any = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self.host = NodeHost(clock)
        self.make = make
        self.inputs = dict(inputs or {})
        self.run = RunInfo("run-1", "workflow-1", "experiment-1", run_input, clock.now())
        self.carried: dict[str, Any] = {}
        self.suspended: Suspended | None = None
        self.node: Node | None = None
        self.failures = 0

    def context(self) -> Context:
        activation = str(self.host.activation)
        return Context(NODE_ID, activation, 1, self.inputs, self.run, self.host, self.carried, self.failures)

    async def passage(self) -> Completed | Suspended:
        """From a start, or from a waking event, to an outcome or a suspension."""
        node = self.node = self.make()
        node.id = NODE_ID
        context = self.context()
        node.bind(context, self._resumed_state())
        try:
            output = await self._process(node, context)
        except NodeSuspended as suspension:
            self.suspended = Suspended(suspension.reason, suspension.state, suspension.metadata, suspension.wake_time)
            return self.suspended
        self.suspended = None
        if isinstance(node, TriggerNode):
            self.carried = node.carried_over()
        self.host.activation += 1
        return Completed(output)

    async def complete(self, count: int = 1) -> list[Any]:
        """Live through waits and suspensions until `count` outputs are there."""
        outputs: list[Any] = []
        while len(outputs) < count:
            if self.suspended is not None:
                await self.host.until_arrival(self.suspended.wake_time)
            outcome = await self.passage()
            if isinstance(outcome, Completed):
                outputs.append(outcome.output)
        return outputs

    def _resumed_state(self) -> dict[str, Any] | None:
        if self.suspended is None:
            return None
        return {
            **self.suspended.state,
            "woke_up_at": self.host.now().isoformat(),
            "trigger_event": self.host.pending[0],
        }

    async def _process(self, node: Node, context: Context) -> Any:
        try:
            return await node.process(context)
        except TriggerInactivityTimeout:
            if isinstance(node, TriggerNode):
                await node.suspend_for_inactivity(node.state_to_save())
            raise
