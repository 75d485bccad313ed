"""Trigger nodes with the loop in their author's own hands live through waits, suspensions and resumptions."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.example_nodes import IntervalTrigger, ScheduleTrigger, WebhookTrigger
from tests.support.node_host import Completed, NodeLife, Suspended
from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import Context, TriggerNode


async def test_an_event_within_the_timeout_reaches_the_interval_example_in_memory(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, IntervalTrigger)
    passage = asyncio.create_task(life.passage())
    await manual_clock.advance(299)
    life.host.deliver("e1", {"n": 1})
    outcome = await passage
    assert isinstance(outcome, Completed)
    assert outcome.output["triggered_at"] == "2026-01-01T00:04:59+00:00"
    assert outcome.output["interval_seconds"] == 60
    assert outcome.output["event_data"]["payload"] == {"n": 1}


async def test_five_idle_minutes_suspend_the_interval_example_with_its_state(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, IntervalTrigger)
    passage = asyncio.create_task(life.passage())
    await manual_clock.advance(300)
    assert await passage == Suspended(
        reason="Trigger inactivity timeout (300s)",
        state={
            "suspended_at": "2026-01-01T00:05:00+00:00",
            "interval_seconds": 60,
            "last_trigger": "2026-01-01T00:05:00+00:00",
        },
        metadata={"trigger_node": True, "inactivity_suspension": True, "inactivity_timeout_seconds": 300},
        wake_time=None,
    )


async def test_a_suspended_interval_example_resumes_with_its_state_and_the_waking_event(
    manual_clock: ManualClock,
) -> None:
    life = NodeLife(manual_clock, IntervalTrigger)
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(600)
    life.host.deliver("e1", {"n": 1})
    (output,) = await living
    assert output["status"] == "resumed"
    assert output["node_id"] == "node"
    assert output["resumed_at"] == "2026-01-01T00:10:00+00:00"
    assert output["trigger_event"]["payload"] == {"n": 1}
    assert output["saved_state"]["interval_seconds"] == 60
    assert output["saved_state"]["woke_up_at"] == "2026-01-01T00:10:00+00:00"
    assert output["saved_state"]["trigger_event"]["event_id"] == "e1"


async def test_the_webhook_example_keeps_its_webhook_over_a_suspension(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, WebhookTrigger)
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(301)
    assert life.suspended is not None
    assert life.suspended.state["webhook_id"] == "hook-1"
    life.host.deliver("e1", {"pushed": True})
    (output,) = await living
    assert output == {
        "webhook_id": "hook-1",
        "webhook_data": {"pushed": True},
        "timestamp": "2026-01-01T00:05:01+00:00",
    }


async def test_the_webhook_example_can_send_an_event_to_itself(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, WebhookTrigger)
    passage = asyncio.create_task(life.passage())
    await manual_clock.settle()
    assert isinstance(life.node, WebhookTrigger)
    await life.node.on_webhook_received({"pushed": True})
    outcome = await passage
    assert isinstance(outcome, Completed)
    assert outcome.output["webhook_data"] == {"pushed": True}
    assert outcome.output["timestamp"] == "2026-01-01T00:00:07+00:00"


async def test_the_schedule_example_suspends_at_once_and_fires_at_its_time(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, ScheduleTrigger)
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.wake_time == datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert outcome.state["schedule_cron"] == "0 * * * *"
    assert life.host.hot_waits == []
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(3599)
    assert not living.done()
    await manual_clock.advance(1)
    (output,) = await living
    assert output["scheduled_time"] == output["triggered_at"] == "2026-01-01T01:00:00+00:00"
    assert output["event"]["type"] == "wakepoint.timer"


async def test_the_schedule_example_waits_in_memory_for_a_time_within_the_timeout(manual_clock: ManualClock) -> None:
    await manual_clock.advance(3400)
    life = NodeLife(manual_clock, ScheduleTrigger)
    passage = asyncio.create_task(life.passage())
    await manual_clock.advance(199)
    assert not passage.done()
    await manual_clock.advance(1)
    outcome = await passage
    assert isinstance(outcome, Completed)
    assert outcome.output["triggered_at"] == "2026-01-01T01:00:00+00:00"


async def test_wait_until_refuses_a_naive_time(manual_clock: ManualClock) -> None:
    class Naive(TriggerNode):
        async def process(self, context: Context) -> Any:
            return await self.wait_until(context.now().replace(tzinfo=None))

    with pytest.raises(ValueError, match="aware"):
        await NodeLife(manual_clock, Naive).passage()


def test_timeouts_are_configured_in_init_or_on_the_instance() -> None:
    class Patient(TriggerNode):
        def __init__(self, **data: Any) -> None:
            super().__init__(**data)
            self.set_inactivity_timeout(180)

    node = Patient(id="t1")
    assert node.get_inactivity_timeout() == 180
    node.set_inactivity_timeout(600)
    assert node.get_inactivity_timeout() == 600
    assert TriggerNode().get_inactivity_timeout() == 300
    with pytest.raises(ValueError, match="at least 1"):
        node.set_inactivity_timeout(0.5)


def test_a_trigger_outside_of_a_run_knows_when_it_was_last_active() -> None:
    node = TriggerNode(id="t1")
    assert node.is_trigger_node()
    assert not node.is_resuming()
    assert node.get_last_activity_time().tzinfo is not None
    assert timedelta(0) <= node.get_inactivity_duration() < timedelta(minutes=1)
    assert not node.should_suspend_for_inactivity()
    with pytest.raises(RuntimeError, match="not running"):
        _ = node.context
