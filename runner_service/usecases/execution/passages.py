"""Passages: how nodes begin, resume, complete, fail and suspend. Everything here drafts; nothing commits."""

import asyncio
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, assert_never

from runner_service.domain.graph import RetryPolicy
from runner_service.domain.history import (
    node_completed,
    node_failed,
    node_resumed,
    node_retry_scheduled,
    node_skipped,
    node_started,
    node_suspended,
    trigger_event_dead_lettered,
)
from runner_service.domain.jobs import job_event
from runner_service.domain.projection import NodeState
from runner_service.domain.runs import JOB_EVENT, InboxEvent, NewWait, TriggerEventState
from runner_service.domain.scheduling import (
    Place,
    Ready,
    Skip,
    decide,
    events_left,
    following,
    inputs_of,
    takes_no_more,
    wants_more,
)
from runner_service.storage.steps import OutboxEntry
from runner_service.usecases.execution.frames import Frame, outcome_of, run_frame
from runner_service.usecases.execution.held import HeldRun
from runner_service.usecases.execution.host import NodeHost
from runner_service.usecases.execution.messages import GaveUp, Raised, RetryDue, Returned
from runner_service.usecases.execution.outcomes import error_of, outputs_of, storable
from wakepoint.nodes import Context, Node, NodeError, NodeSuspended, TriggerNode

DISABLE_AFTER = 20
"""Errors in a row of a trigger without an end, until its run fails with that reason."""


async def advance(held: HeldRun, places: Iterable[Place]) -> None:
    """Begin whatever can run at these places, and at those that open while doing so."""
    queue = deque(places)
    while queue and held.failure is None:
        node_id, activation = queue.popleft()
        match decide(held.plan, held.projection, node_id, activation):
            case None:
                continue
            case Skip():
                held.draft.add(node_skipped(node_id, activation))
                close(held, node_id)
                queue.extend(following(held.plan, held.projection, node_id, activation))
            case Ready():
                if await begin(held, node_id, activation, attempt=1):
                    queue.extend(following(held.plan, held.projection, node_id, activation))
            case other:
                assert_never(other)


async def begin(held: HeldRun, node_id: str, activation: str, attempt: int, failures: int = 0) -> bool:
    """Begin a passage. True when it is over already, because the node is quick and may be repeated."""
    graph_node = held.plan.nodes[node_id]
    node_class = held.environment.node_class(graph_node)
    if node_class is None:
        frame = Frame(graph_node, Node, activation, attempt, failures)
        fail(held, frame, NodeError(f"node type {graph_node.type} is not installed on this runner", retryable=False))
        return False
    frame = Frame(graph_node, node_class, activation, attempt, failures)
    if node_class.repeatable and node_class.kind == "work":
        return await _run_inline(held, frame)
    if held.draining and node_class.kind == "work":
        held.unstarted = True
        return False
    held.draft.add(node_started(node_id, activation, attempt))
    held.frames[node_id] = frame
    held.to_launch.append(frame)
    return False


def resume(held: HeldRun, node_id: str, activation: str, attempt: int) -> None:
    """Begin the passage of a suspended node for which an event has come."""
    record = held.projection.nodes[node_id][activation]
    graph_node = held.plan.nodes[node_id]
    node_class = held.environment.node_class(graph_node)
    waking = held.inbox.take(node_id)
    assert waking is not None
    if node_class is None:
        held.inbox.put_back(node_id, [waking])
        return
    frame = Frame(graph_node, node_class, activation, attempt, record.failures, resumed=True)
    frame.taken.append(waking)
    frame.ungiven.append(waking)
    state = {k: v for k, v in record.saved_state.items() if k not in ("woke_up_at", "trigger_event")}
    state |= {"woke_up_at": held.environment.clock.now().isoformat(), "trigger_event": dict(waking.event)}
    held.draft.add(node_resumed(node_id, activation, state, attempt))
    held.draft.unwait(node_id)
    held.frames[node_id] = frame
    held.to_launch.append(frame)


def launch(held: HeldRun, frame: Frame) -> None:
    """Let a frame run."""
    frame.task = asyncio.create_task(_run(held, frame), name=f"{held.run_id}:{frame.graph_node.id}")


async def complete(held: HeldRun, frame: Frame, value: Any) -> None:
    """The node returned: its outcome uses up what it took, and what it leads to may begin."""
    node_id, activation = frame.graph_node.id, frame.activation
    try:
        outputs = outputs_of(frame.node_class.output_names, value, held.environment.max_output_bytes)
        carried = storable(frame.carried, "carried state", held.environment.max_state_bytes)
    except NodeError as error:
        fail(held, frame, error)
        return
    held.frames.pop(node_id, None)
    held.draft.add(node_completed(node_id, activation, outputs, consumed=len(frame.taken), carried=carried))
    start_jobs(held, frame)
    for event in frame.taken:
        held.settle(event, TriggerEventState.CONSUMED, activation, None)
    if frame.node_class.kind != "work" or held.projection.nodes[node_id][activation].reason:
        held.draft.unwait(node_id)
        close(held, node_id)
    stop_listening(held, frame)
    await advance(held, following(held.plan, held.projection, node_id, activation))


def close(held: HeldRun, node_id: str) -> None:
    """Take leave of a node's inbox if the node will take no more events."""
    if takes_no_more(held.plan, held.projection, node_id) and node_id not in held.closed:
        held.closed.append(node_id)
    if node_id in held.closed:
        dead_letter(held, held.inbox.remaining(node_id), "its node takes no more events")


def stop_listening(held: HeldRun, frame: Frame) -> None:
    """A node that completed hears of topics no more, unless it is a trigger that wants further events."""
    node_id = frame.graph_node.id
    record = held.projection.nodes[node_id][frame.activation]
    if frame.listening is not None and not (node_id in held.plan.triggers and wants_more(held.plan, node_id, record)):
        held.draft.stop_listening(node_id)


def fail(held: HeldRun, frame: Frame, error: BaseException) -> None:
    """The node failed: it is tried again after a pause, or the run fails with it."""
    node_id, activation, retry = frame.graph_node.id, frame.activation, frame.graph_node.retry
    details = error_of(error)
    held.release(frame)
    # It waits for nothing any more: a wake-up is kept for its next attempt.
    if frame.node_class.kind != "work" or frame.resumed:
        held.draft.unwait(node_id)
    disabled = _is_to_be_disabled(frame)
    final = (isinstance(error, NodeError) and not error.retryable) or frame.failures + 1 >= retry.max_attempts
    if disabled and not final:
        details["message"] = (
            f"disabled after {frame.failures + 1} errors in a row, the last of them: {details['message']}"
        )
    if final or disabled:
        held.frames.pop(node_id, None)
        held.draft.add(node_failed(node_id, activation, details))
        held.failure = {**details, "node_id": node_id}
        return
    delay = backoff_seconds(retry, frame.failures + 1)
    held.draft.add(node_retry_scheduled(node_id, activation, frame.attempt + 1, delay, details))
    retry_later(held, frame, delay)


def _is_to_be_disabled(frame: Frame) -> bool:
    """Whether an endless trigger has failed so often that trying on is no use, whatever its retry policy allows."""
    endless = frame.node_class.kind == "trigger" and frame.graph_node.properties.get("max_events", 1) == 0
    return endless and frame.failures + 1 >= DISABLE_AFTER


def retry_later(held: HeldRun, frame: Frame, delay: float) -> None:
    """Let the frame's node begin again after `delay` seconds."""
    frame.task = None
    frame.retry = asyncio.create_task(_tell_when_due(held, frame.graph_node.id, delay))
    held.frames[frame.graph_node.id] = frame


def suspend(held: HeldRun, frame: Frame, suspension: NodeSuspended) -> None:
    """The node gave its frame up: from now on a row waits for it, or it goes on at once if its event is there."""
    node_id, activation = frame.graph_node.id, frame.activation
    try:
        state = storable(suspension.state, "state", held.environment.max_state_bytes)
        metadata = storable(suspension.metadata, "metadata", held.environment.max_state_bytes)
        storable({"reason": suspension.reason}, "suspension", held.environment.max_state_bytes)
        if suspension.wake_time is not None and suspension.wake_time.tzinfo is None:
            raise NodeError("a wake_time needs a time zone, as context.now() has one", retryable=False)
    except NodeError as error:
        fail(held, frame, error)
        return
    held.frames.pop(node_id, None)
    for event in frame.taken:
        held.settle(event, TriggerEventState.CONSUMED, activation, None)
    held.draft.add(node_suspended(node_id, activation, suspension.reason, state, metadata, suspension.wake_time))
    held.listen(frame)
    held.draft.wait(
        NewWait(
            node_id=node_id,
            activation=activation,
            node_type=frame.graph_node.type,
            suspended=True,
            reason=suspension.reason,
            state=state,
            metadata=metadata,
            wake_time=suspension.wake_time,
            priority=frame.priority,
            **frame.patience(),
        )
    )
    start_jobs(held, frame)


def start_jobs(held: HeldRun, frame: Frame) -> None:
    """Jobs the node submitted start with this step, and trigger_service hears of them."""
    for job in frame.jobs:
        held.draft.jobs.append(job)
        event = job_event(job, held.info(), "LAUNCHING")
        held.draft.outbox.append(OutboxEntry(JOB_EVENT, event))


def hand_out(held: HeldRun) -> None:
    """Give pending events to the nodes that wait for them, in memory or in the database."""
    for node_id in held.inbox.addressed():
        frame = held.frames.get(node_id)
        if frame is not None and frame.waiting:
            event = held.inbox.take(node_id)
            assert event is not None
            frame.offer(event)
            held.draft.unwait(node_id)
        elif frame is None and held.failure is None:
            latest = held.projection.latest(node_id)
            if latest is not None and latest[1].state is NodeState.SUSPENDED:
                resume(held, node_id, latest[0], max(latest[1].attempt, 1))


def dead_letter(held: HeldRun, events: Iterable[InboxEvent], reason: str) -> None:
    """Take events out of the inbox that nobody will ever take."""
    for event in list(events):
        held.inbox.drop(event)
        held.draft.add(trigger_event_dead_lettered(event.node_id, event.inbox_seq, event.event_id, reason))
        held.settle(event, TriggerEventState.DEAD_LETTERED, None, reason)


def backoff_seconds(retry: RetryPolicy, failures: int) -> float:
    """The pause after so many failures."""
    return min(retry.max_backoff_seconds, retry.initial_backoff_seconds * 2.0 ** min(failures - 1, 60))


async def _run_inline(held: HeldRun, frame: Frame) -> bool:
    """Run a quick, repeatable node on the spot; its outcome is committed with whatever comes next."""
    try:
        node, context = _bind(held, frame)
    except Exception as fault:  # noqa: BLE001 -- a property that cannot be computed is the node's failure
        fail(held, frame, fault)
        return False
    node_id, activation = frame.graph_node.id, frame.activation
    match await outcome_of(node, context):
        case Returned(_, value):
            try:
                outputs = outputs_of(frame.node_class.output_names, value, held.environment.max_output_bytes)
            except NodeError as fault:
                fail(held, frame, fault)
                return False
            held.draft.add(node_completed(node_id, activation, outputs))
            return True
        case Raised(_, error):
            fail(held, frame, error)
        case GaveUp(_, suspension):
            held.draft.add(node_started(node_id, activation, frame.attempt))
            suspend(held, frame, suspension)
        case other:
            assert_never(other)
    return False


async def _run(held: HeldRun, frame: Frame) -> None:
    try:
        node, context = _bind(held, frame)
    except Exception as error:  # noqa: BLE001 -- a property that cannot be computed is the node's failure
        held.tell(Raised(frame.graph_node.id, error))
        return
    await run_frame(frame, node, context, held.environment.clock, held.tell)


def _bind(held: HeldRun, frame: Frame) -> tuple[Node, Context]:
    """A node with its properties computed, its context, and its saved state if it resumes."""
    graph_node, activation = frame.graph_node, frame.activation
    inputs, _ = inputs_of(held.plan, held.projection, graph_node.id, activation)
    record = held.projection.record(graph_node.id, activation)
    host = NodeHost(held.environment, held.info(), frame, held.inbox, held.tell, lambda: held.draining)
    context = Context(
        node_id=graph_node.id,
        activation=activation,
        attempt=frame.attempt,
        failures=frame.failures,
        inputs=inputs,
        run=held.info(),
        host=host,
        carried=record.carried if record else {},
    )
    node = held.environment.registry.build(
        graph_node.type, graph_node.id, graph_node.properties, context.expression_values()
    )
    node.bind(context, record.saved_state if record and frame.resumed else None)
    if isinstance(node, TriggerNode):
        frame.priority = node.priority
        frame.room = partial(events_left, held.plan, held.projection, graph_node.id, activation)
    frame.node = node
    return node, context


async def _tell_when_due(held: HeldRun, node_id: str, delay: float) -> None:
    await held.environment.clock.sleep(delay)
    held.tell(RetryDue(node_id))
