"""What every trigger inherits."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.support.node_host import Completed, NodeLife, Suspended
from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import Context, NodeSuspended, TriggerEvent, TriggerNode


class Counting(TriggerNode):
    """Counts its events over all its activations."""

    async def on_event(self, event: TriggerEvent, context: Context) -> Any:
        count = context.carried.get("count", 0) + 1
        self.carry({"count": count})
        return count


class Released(TriggerNode):
    """Notes that it was told of its suspension."""

    released: bool = False

    def on_suspend(self) -> None:
        self.released = True

    def state_to_save(self) -> dict[str, Any]:
        return {"cursor": 7}


async def test_the_base_class_waits_suspends_and_resumes_by_itself(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, TriggerNode)
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(301)
    assert life.suspended is not None
    life.host.deliver("e1", {"n": 1})
    (output,) = await living
    assert (output["event_id"], output["payload"]) == ("e1", {"n": 1})


async def test_what_is_carried_reaches_the_next_activation(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, Counting)
    for number in range(3):
        life.host.deliver(f"e{number}", None)
    assert await life.complete(3) == [1, 2, 3]


async def test_a_batch_takes_what_is_there_and_is_a_list_even_of_one(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: TriggerNode(batch_size=3))
    for number in range(4):
        life.host.deliver(f"e{number}", number)
    outputs = await life.complete(2)
    assert [[event["payload"] for event in batch] for batch in outputs] == [[0, 1, 2], [3]]


async def test_a_timeout_that_nobody_catches_suspends_with_the_state_to_save(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: Released(inactivity_timeout_seconds=1.5))
    passage = asyncio.create_task(life.passage())
    await manual_clock.advance(1.5)
    outcome = await passage
    assert isinstance(outcome, Suspended)
    assert outcome.reason == "Trigger inactivity timeout (1.5s)"
    assert outcome.state == {"suspended_at": "2026-01-01T00:00:01.500000+00:00", "cursor": 7}
    assert isinstance(life.node, Released)
    assert life.node.released


async def test_a_time_in_the_past_wakes_at_once(manual_clock: ManualClock) -> None:
    class Late(TriggerNode):
        async def process(self, context: Context) -> Any:
            return await self.wait_until(context.now() - timedelta(days=1))

    outcome = await NodeLife(manual_clock, Late).passage()
    assert isinstance(outcome, Completed)
    assert outcome.output["payload"] == {"wake_time": "2025-12-31T00:00:00+00:00"}


async def test_a_swallowing_author_cannot_swallow_a_suspension(manual_clock: ManualClock) -> None:
    class Careless(TriggerNode):
        async def process(self, context: Context) -> Any:
            try:
                await self.suspend_workflow("for a while", {"n": 1}, wake_time=context.now() + timedelta(days=30 * 365))
            except Exception:  # noqa: BLE001 -- what the test is about
                return "swallowed"

    outcome = await NodeLife(manual_clock, Careless).passage()
    assert isinstance(outcome, Suspended)
    assert (outcome.reason, outcome.state) == ("for a while", {"n": 1})
    assert outcome.wake_time == manual_clock.now() + timedelta(days=30 * 365)


async def test_activity_is_a_start_an_event_or_something_sent(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, TriggerNode)
    node = TriggerNode()
    node.bind(life.context(), None)
    await manual_clock.advance(299)
    assert node.get_inactivity_duration() == timedelta(seconds=299)
    assert not node.should_suspend_for_inactivity()
    await manual_clock.advance(1)
    assert node.should_suspend_for_inactivity()
    await node.send_trigger_event({"n": 1})
    assert node.get_inactivity_duration() == timedelta(0)
    await manual_clock.advance(5)
    assert (await node.wait_for_trigger_event())["payload"] == {"n": 1}
    assert node.get_last_activity_time() == manual_clock.now()


async def test_a_disregarded_event_is_told_in_the_log_and_the_node_waits_anew(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, TriggerNode)
    node = TriggerNode()
    node.bind(life.context(), None)
    event = {"event_id": "e1", "source": "s", "type": "t", "payload": "secret"}
    with pytest.raises(NodeSuspended, match="not for me"):
        await node.disregard(event, "not for me")
    assert life.host.records == [
        (
            "SuspensionUpdated",
            {"disregarded_event": {"event_id": "e1", "source": "s", "type": "t"}, "reason": "not for me"},
        )
    ]
