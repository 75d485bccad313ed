"""A node while it is in memory: its task, what it has taken, and whether it waits."""

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from runner_service.domain.graph import GraphNode
from runner_service.domain.history import EventType, Line
from runner_service.domain.runs import InboxEvent
from runner_service.domain.trigger_events import Address, TriggerEvent
from runner_service.storage.steps import NewJob
from runner_service.usecases.deliver_events import Wake, deliver_events
from runner_service.usecases.execution.draft import Draft
from runner_service.usecases.execution.environment import Environment
from runner_service.usecases.execution.inbox import LocalInbox
from runner_service.usecases.execution.messages import GaveUp, Message, Raised, Returned, Waits
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.ids import new_id
from wakepoint.nodes import Context, Node, NodeError, NodeSuspended, TriggerInactivityTimeout, TriggerNode, Webhook

Tell = Callable[[Message], None]


@dataclass(slots=True)
class Frame:
    """One passage of one node. `taken` are the events its outcome will use up; of these `ungiven` were not asked for
    yet (the one that woke the node). `arrival` is set while the node waits in memory. `jobs` start once the node
    suspends.
    """

    graph_node: GraphNode
    node_class: type[Node]
    activation: str
    attempt: int
    failures: int = 0
    resumed: bool = False
    node: Node | None = None
    priority: int = 0
    task: asyncio.Task[None] | None = None
    taken: list[InboxEvent] = field(default_factory=list)
    ungiven: deque[InboxEvent] = field(default_factory=deque)
    jobs: list[NewJob] = field(default_factory=list)
    arrival: asyncio.Future[InboxEvent] | None = None
    wake_time: datetime | None = None
    retry: asyncio.Task[None] | None = None

    @property
    def carried(self) -> Mapping[str, Any]:
        """What the node leaves for its next activation."""
        return self.node.carried_over() if isinstance(self.node, TriggerNode) else {}

    @property
    def waiting(self) -> bool:
        return self.arrival is not None and not self.arrival.done()

    @property
    def executing(self) -> bool:
        return self.task is not None and not self.waiting

    def offer(self, event: InboxEvent) -> None:
        """Give the waiting node its event."""
        assert self.arrival is not None
        self.taken.append(event)
        self.arrival.set_result(event)

    def stop_waiting(self) -> None:
        """Let the node's wait end as if its time had run out."""
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_exception(TriggerInactivityTimeout())


class NodeHost:
    """What the runner offers one passage of one node (`wakepoint.nodes.Host`)."""

    def __init__(
        self,
        environment: Environment,
        run_id: str,
        frame: Frame,
        inbox: LocalInbox,
        draft: Draft,
        tell: Tell,
        draining: Callable[[], bool],
    ) -> None:
        self._environment = environment
        self._run_id = run_id
        self._frame = frame
        self._inbox = inbox
        self._draft = draft
        self._tell = tell
        self._draining = draining

    def now(self) -> datetime:
        return self._environment.clock.now()

    async def wait(self, *, timeout: float | None, wake_time: datetime | None) -> dict[str, Any]:
        if self._frame.ungiven:
            return dict(self._frame.ungiven.popleft().event)
        event = self._inbox.take(self._frame.graph_node.id)
        if event is not None:
            self._frame.taken.append(event)
            return dict(event.event)
        beyond = wake_time is not None and timeout is not None and (wake_time - self.now()).total_seconds() > timeout
        if self._draining() or beyond or timeout == 0:
            raise TriggerInactivityTimeout
        return await self._wait_in_memory(timeout, wake_time)

    async def _wait_in_memory(self, timeout: float | None, wake_time: datetime | None) -> dict[str, Any]:
        frame = self._frame
        frame.arrival = asyncio.get_running_loop().create_future()
        frame.wake_time = wake_time
        leave = self._environment.hot_waits.enter(frame.stop_waiting)
        self._tell(Waits(frame.graph_node.id))
        event: InboxEvent | None
        try:
            event = await self._environment.clock.wait_for(asyncio.shield(frame.arrival), timeout)
        except TimeoutError:
            event = frame.arrival.result() if _has_result(frame.arrival) else None
        finally:
            leave()
            frame.arrival.cancel()
            frame.arrival = None
        if event is None:
            raise TriggerInactivityTimeout
        return dict(event.event)

    async def take_pending(self, limit: int) -> list[dict[str, Any]]:
        taken: list[dict[str, Any]] = []
        while len(taken) < limit and (event := self._inbox.take(self._frame.graph_node.id)) is not None:
            self._frame.taken.append(event)
            taken.append(dict(event.event))
        return taken

    async def send(self, event: Mapping[str, Any]) -> None:
        address = Address(self._run_id, self._frame.graph_node.id)
        wake = Wake(address, event_from_mapping(event, self._environment.clock))
        await deliver_events(self._environment.database, self._environment.signals, [wake])

    def webhook(self) -> Webhook:
        return self._environment.webhook_of(self._run_id, self._frame.graph_node.id)

    def record(self, event_type: str, payload: Mapping[str, Any]) -> None:
        self._draft.add(Line(EventType(event_type), self._frame.graph_node.id, self._frame.activation, dict(payload)))

    async def submit_job(self, job: Mapping[str, Any]) -> str:
        frame = self._frame
        # The job is only noted here: it starts once the step that suspends its node is committed, so that a crash
        # before that leaves no job behind and a crash after it leaves no second one.
        key = f"{self._run_id}:{frame.graph_node.id}:{frame.activation}:{frame.failures}"
        job_id = str(uuid5(NAMESPACE_URL, key))
        frame.jobs.append(
            NewJob(
                job_id=job_id,
                node_id=frame.graph_node.id,
                activation=frame.activation,
                job_type=job["job_type"],
                job_name=job["job_name"],
                backend=job["backend"],
                spec=dict(job["spec"]),
                host=self._environment.host,
            )
        )
        return job_id


def event_from_mapping(data: Mapping[str, Any], clock: Clock) -> TriggerEvent:
    """An event as a node sends it: a whole one when it has a `payload`, else just a payload."""
    if "payload" not in data:
        return TriggerEvent(new_id(), "wakepoint/node", "wakepoint.node", dict(data), clock.now())
    text = data.get("occur_time") or data.get("timestamp")
    occur_time = datetime.fromisoformat(text) if isinstance(text, str) else clock.now()
    return TriggerEvent(
        event_id=str(data.get("event_id") or new_id()),
        source=str(data.get("source") or "wakepoint/node"),
        type=str(data.get("type") or "wakepoint.node"),
        payload=data["payload"],
        occur_time=occur_time if occur_time.tzinfo else occur_time.astimezone(),
    )


async def run_frame(frame: Frame, node: Node, context: Context, clock: Clock, tell: Tell) -> None:
    """Run one passage of a node and tell how it ended. Work is bounded by the node's timeout, waiting is not."""
    node_id = frame.graph_node.id
    timeout = frame.graph_node.timeout_seconds if frame.node_class.kind == "work" else None
    try:
        value = await clock.wait_for(_process(node, context), timeout)
    except NodeSuspended as suspension:
        tell(GaveUp(node_id, suspension))
    except TimeoutError as error:
        late = NodeError(f"did not finish within {timeout:g} seconds") if timeout is not None else error
        tell(Raised(node_id, late))
    except Exception as error:  # noqa: BLE001 -- whatever an author's node raises is the node's failure
        tell(Raised(node_id, error))
    else:
        tell(Returned(node_id, value))


async def _process(node: Node, context: Context) -> Any:
    # A plain function runs in a thread, so that what it blocks is not everybody's loop.
    if not inspect.iscoroutinefunction(node.process):
        return await asyncio.to_thread(node.process, context)
    try:
        return await node.process(context)
    except TriggerInactivityTimeout:
        # An author who lets the timeout pass means what the base class does with it.
        if isinstance(node, TriggerNode):
            await node.suspend_for_inactivity(node.state_to_save())
        raise


def _has_result(future: asyncio.Future[InboxEvent]) -> bool:
    with suppress(asyncio.InvalidStateError, asyncio.CancelledError):
        return future.exception() is None
    return False
