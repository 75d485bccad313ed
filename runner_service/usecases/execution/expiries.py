"""Waits whose time is over, and events that came too late, in a run that this replica holds."""

import asyncio
from contextlib import suppress

from runner_service.domain.history import node_skipped, trigger_event_expired
from runner_service.domain.projection import NodeState
from runner_service.domain.runs import InboxEvent, TriggerEventState
from runner_service.domain.scheduling import following
from runner_service.usecases.execution.held import HeldRun
from runner_service.usecases.execution.passages import advance, close, dead_letter


async def settle_expiries(held: HeldRun) -> None:
    """End the waits that are over. An event that is there goes before: then the wait has ended in time."""
    for event in held.inbox.expiries():
        if held.failure is not None:
            break
        activation = event.event["payload"]["activation"]
        record = held.projection.record(event.node_id, activation)
        latest = held.projection.latest(event.node_id)
        if record is None or latest is None or latest[0] != activation or record.state.resolved:
            dead_letter(held, [event], "the wait had ended before it expired")
        elif _still_waits(held, event.node_id, record.state):
            await _end_wait(held, event, activation)
    for late in held.inbox.late():
        held.draft.add(trigger_event_expired(late.node_id, late.inbox_seq, late.event_id))
        held.settle(late, TriggerEventState.EXPIRED, None, "its expire_time passed")


def _still_waits(held: HeldRun, node_id: str, state: NodeState) -> bool:
    if held.inbox.has(node_id):
        return False
    frame = held.frames.get(node_id)
    if frame is None:
        return state is NodeState.SUSPENDED
    return frame.waiting and not frame.taken


async def _end_wait(held: HeldRun, event: InboxEvent, activation: str) -> None:
    """The node is skipped, and what stands behind it gets no value from it."""
    node_id = event.node_id
    frame = held.frames.pop(node_id, None)
    if frame is not None and frame.task is not None:
        frame.task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await frame.task
    held.inbox.drop(event)
    held.draft.add(node_skipped(node_id, activation, event.event["payload"]["reason"]))
    held.settle(event, TriggerEventState.CONSUMED, activation, None)
    held.draft.unwait(node_id)
    if frame is None or frame.listening is not None:
        held.draft.stop_listening(node_id)
    close(held, node_id)
    await advance(held, following(held.plan, held.projection, node_id, activation))
