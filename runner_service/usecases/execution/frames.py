"""A node while it is in memory: its task, what it has taken, and whether it waits."""

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner_service.domain.graph import GraphNode
from runner_service.domain.listening import Listening
from runner_service.domain.runs import InboxEvent
from runner_service.storage.steps import NewJob
from runner_service.usecases.execution.messages import GaveUp, Message, Raised, Returned
from wakepoint.chassis.clock import Clock
from wakepoint.nodes import Context, Node, NodeError, NodeSuspended, TriggerInactivityTimeout, TriggerNode

Tell = Callable[[Message], None]


@dataclass(slots=True)
class Frame:
    """One passage of one node. `taken` are the events its outcome will use up; of these `ungiven` were not asked for
    yet (the one that woke the node). `arrival` is set while the node waits in memory. `jobs` start once the node
    suspends. `room()` is how many events the passage may take at all; None: any number. `listening` is registered
    with the next wait.
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
    room: Callable[[], int | None] = lambda: None
    listening: Listening | None = None

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

    def patience(self) -> dict[str, Any]:
        """How long the node's wait may last, and how often the passage failed; for its row."""
        if not isinstance(self.node, TriggerNode):
            return {}
        return {
            "expires_after": self.node.expires_after_seconds,
            "stale_after": self.node.stale_after_seconds,
            "stale_policy": self.node.stale_policy,
            "failures": self.failures,
        }

    def offer(self, event: InboxEvent) -> None:
        """Give the waiting node its event."""
        assert self.arrival is not None
        self.taken.append(event)
        self.arrival.set_result(event)

    def stop_waiting(self) -> None:
        """Let the node's wait end as if its time had run out."""
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_exception(TriggerInactivityTimeout())


async def run_frame(frame: Frame, node: Node, context: Context, clock: Clock, tell: Tell) -> None:
    """Run one passage of a node and tell how it ended. Work is bounded by the node's timeout, waiting is not."""
    timeout = frame.graph_node.timeout_seconds if frame.node_class.kind == "work" else None
    try:
        # Errors of the node come back as values, so that a TimeoutError here is the node's time running out.
        outcome = await clock.wait_for(outcome_of(node, context), timeout)
    except TimeoutError:
        outcome = Raised(frame.graph_node.id, NodeError(f"did not finish within {timeout:g} seconds"))
    tell(outcome)


async def outcome_of(node: Node, context: Context) -> Returned | Raised | GaveUp:
    """Let the node do its work; however it ends, that is an answer and not an error."""
    try:
        return Returned(context.node_id, await _process(node, context))
    except NodeSuspended as suspension:
        return GaveUp(context.node_id, suspension)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Something that the node waited for was cancelled, not the node: nobody else would ever hear of it.
        return Raised(context.node_id, NodeError(f"was cancelled from within: {error}"))
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever an author's node raises is the node's failure
        return Raised(context.node_id, error)


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
