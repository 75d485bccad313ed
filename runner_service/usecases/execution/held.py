"""A run while this replica holds it."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner_service.domain.plan import GraphPlan
from runner_service.domain.projection import RunProjection
from runner_service.domain.runs import ClaimedRun, InboxEvent, NewWait, Settled, TriggerEventState
from runner_service.domain.scheduling import closed_nodes
from runner_service.usecases.execution.draft import Draft
from runner_service.usecases.execution.environment import Environment
from runner_service.usecases.execution.frames import Frame
from runner_service.usecases.execution.inbox import LocalInbox
from runner_service.usecases.execution.messages import Message
from wakepoint.nodes import RunInfo


@dataclass(slots=True)
class HeldRun:
    """Everything in memory about one held run. `to_launch` are frames whose start is drafted but that do not run
    yet.
    """

    environment: Environment
    claimed: ClaimedRun
    plan: GraphPlan
    projection: RunProjection
    inbox: LocalInbox
    draft: Draft = field(init=False)
    frames: dict[str, Frame] = field(default_factory=dict)
    to_launch: list[Frame] = field(default_factory=list)
    mailbox: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    failure: Mapping[str, Any] | None = None
    draining: bool = False
    unstarted: bool = False
    closed: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.draft = Draft(self.projection)
        self.closed = closed_nodes(self.plan, self.projection)

    @property
    def run_id(self) -> str:
        return self.claimed.run_id

    def tell(self, message: Message) -> None:
        """Put a message into the mailbox; nodes call this."""
        self.mailbox.put_nowait(message)

    def info(self) -> RunInfo:
        """The run as its nodes see it."""
        return RunInfo(
            run_id=self.claimed.run_id,
            workflow_id=self.claimed.workflow_id,
            experiment_id=self.claimed.experiment_id,
            input=self.projection.input,
            create_time=self.claimed.create_time,
            depth=int(self.projection.source.get("depth") or 0),
            attempt=self.projection.attempt,
        )

    def release(self, frame: Frame) -> None:
        """What a passage took and did not use up goes back to its place; jobs it asked for do not start."""
        self.inbox.put_back(frame.graph_node.id, frame.taken)
        frame.taken, frame.ungiven, frame.jobs = [], deque(), []

    def settle(self, event: InboxEvent, state: TriggerEventState, activation: str | None, reason: str | None) -> None:
        """Take an event out of the inbox with the next step."""
        self.draft.settled.append(Settled(event.inbox_seq, state, activation, reason))

    def listen(self, frame: Frame) -> None:
        """Draft what a node that begins to wait listens to."""
        if frame.listening is not None:
            self.draft.listen(frame.listening)

    def wait_in_memory(self, frame: Frame, wake_time: datetime | None) -> None:
        """Draft the row of a hot wait."""
        self.listen(frame)
        self.draft.wait(
            NewWait(
                node_id=frame.graph_node.id,
                activation=frame.activation,
                node_type=frame.graph_node.type,
                suspended=False,
                wake_time=wake_time,
                priority=frame.priority,
                **frame.patience(),
            )
        )
