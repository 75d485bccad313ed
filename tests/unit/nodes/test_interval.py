"""Interval: anchored slots, early events, slots that were missed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner_service.nodes import Interval
from runner_service.nodes.interval import EverySoOften
from tests.support.node_host import Completed, NodeLife, Suspended
from wakepoint.chassis.clock import ManualClock

START = datetime(2026, 1, 1, tzinfo=UTC)


def interval(**properties: Any) -> Interval:
    return Interval(**{"interval_seconds": 600, "max_events": 0, **properties})


def times(outputs: list[Any], key: str = "scheduled_time") -> list[str]:
    return [output["payload"][key][11:19] for output in outputs]


async def test_slots_stay_anchored_however_long_the_work_behind_them_takes(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, interval)
    outputs = []
    for _ in range(3):
        living = asyncio.create_task(life.complete())
        await manual_clock.advance(600 - manual_clock.monotonic() % 600)
        outputs += await living
        await manual_clock.advance(45)  # what stands behind the trigger works
    assert times(outputs) == ["00:10:00", "00:20:00", "00:30:00"]
    assert times(outputs, "triggered_at") == ["00:10:00", "00:20:00", "00:30:00"]
    assert outputs[0]["payload"]["interval_seconds"] == 600
    assert life.host.records == []


async def test_a_slot_beyond_the_inactivity_timeout_suspends_at_once_with_its_time(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, interval)
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.wake_time == START + timedelta(seconds=600)
    assert outcome.reason == "Trigger inactivity timeout (300s)"
    assert life.host.hot_waits == []


async def test_a_slot_within_the_inactivity_timeout_is_waited_for_in_memory(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: interval(interval_seconds=60))
    passage = asyncio.create_task(life.passage())
    await manual_clock.advance(60)
    outcome = await passage
    assert isinstance(outcome, Completed)
    assert times([outcome.output]) == ["00:01:00"]


async def test_the_first_slot_comes_after_the_initial_delay(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: interval(initial_delay_seconds=30))
    living = asyncio.create_task(life.complete(2))
    await manual_clock.advance(630)
    assert times(await living) == ["00:00:30", "00:10:30"]


async def test_emit_on_start_fires_once_at_the_beginning_and_then_on_its_slots(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: interval(emit_on_start=True))
    living = asyncio.create_task(life.complete(2))
    await manual_clock.advance(600)
    assert times(await living) == ["00:00:00", "00:10:00"]


async def test_no_initial_delay_and_emit_on_start_are_one_slot(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: interval(emit_on_start=True, initial_delay_seconds=0))
    living = asyncio.create_task(life.complete(2))
    await manual_clock.advance(600)
    assert times(await living) == ["00:00:00", "00:10:00"]


async def test_a_lost_hot_wait_begins_again_for_the_same_slot(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: interval(interval_seconds=200))
    lost = asyncio.create_task(life.passage())
    await manual_clock.advance(150)
    lost.cancel()
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(50)
    assert times(await living) == ["00:03:20"]


async def test_an_interval_behind_other_nodes_counts_from_when_they_let_it_begin(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, interval, inputs={"input": 1})
    await manual_clock.advance(100)
    living = asyncio.create_task(life.complete(2))
    await manual_clock.advance(1200)
    assert times(await living) == ["00:11:40", "00:21:40"]


async def test_an_event_from_outside_is_an_early_passage_and_leaves_the_slot(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, interval)
    living = asyncio.create_task(life.complete(2))
    await manual_clock.advance(400)
    life.host.deliver("now", {"why": "impatience"})
    await manual_clock.advance(200)
    early, regular = await living
    assert early["event_id"] == "now"
    assert early["payload"]["why"] == "impatience"
    assert early["payload"]["early"] is True
    assert early["payload"]["triggered_at"] == "2026-01-01T00:06:40+00:00"
    assert "early" not in regular["payload"]
    assert times([regular]) == ["00:10:00"]


async def test_missed_slots_fire_once_for_the_latest_and_are_all_told(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, interval)
    await life.passage()
    await manual_clock.advance(2000)  # nothing is up
    living = asyncio.create_task(life.complete(2))
    await manual_clock.advance(400)
    assert times(await living) == ["00:30:00", "00:40:00"]
    missed = [line["scheduled_time"][11:16] for line in life.host.recorded("SlotMissed")]
    assert missed == ["00:10", "00:20", "00:30"]


async def test_a_slot_that_passed_within_the_grace_is_not_missed_but_those_before_it_are(
    manual_clock: ManualClock,
) -> None:
    life = NodeLife(manual_clock, interval)
    await life.passage()
    await manual_clock.advance(1230)
    assert times(await life.complete()) == ["00:20:00"]
    assert [line["scheduled_time"][11:16] for line in life.host.recorded("SlotMissed")] == ["00:10"]


async def test_a_year_of_missed_seconds_is_told_in_few_lines(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: interval(interval_seconds=1, inactivity_timeout_seconds=0))
    await life.passage()
    await manual_clock.advance(365 * 86_400)
    assert times(await life.complete()) == ["00:00:00"]  # on time, so it was not missed
    lines = life.host.recorded("SlotMissed")
    assert len(lines) == 101
    assert lines[99]["scheduled_time"] == "2026-01-01T00:01:40+00:00"
    assert lines[100]["from"] == "2026-01-01T00:01:41+00:00"
    assert lines[100]["until"] == "2026-12-31T23:59:59+00:00"


@given(
    interval_ms=st.integers(1, 10**7),
    delay_ms=st.integers(0, 10**7),
    at_once=st.booleans(),
    moments=st.lists(st.integers(-(10**7), 10**8), min_size=1, max_size=20),
)
def test_the_slot_after_a_moment_and_the_latest_at_it_enclose_the_moment(
    interval_ms: int, delay_ms: int, at_once: bool, moments: list[int]
) -> None:
    slots = EverySoOften(START, START + timedelta(milliseconds=delay_ms), timedelta(milliseconds=interval_ms), at_once)
    for offset in moments:
        moment = START + timedelta(milliseconds=offset)
        following, latest = next(slots.after(moment)), slots.latest(moment)
        assert following > moment
        if latest is not None:
            assert latest <= moment
            assert next(slots.after(latest)) == following
            assert next(slots.after(latest - timedelta(microseconds=1))) == latest
