"""Schedule: cron in a time zone, over both changes of the clocks, and slots that were missed."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from runner_service.nodes import Schedule
from runner_service.nodes.schedule import CronSlots
from tests.support.node_host import Completed, NodeLife, Suspended
from wakepoint.chassis.clock import ManualClock

BERLIN = ZoneInfo("Europe/Berlin")
HOURLY = "0 * * * *"


def slots(cron: str, zone: ZoneInfo = BERLIN, jitter: float = 0) -> CronSlots:
    return CronSlots(cron, zone, timedelta(seconds=jitter), "run-1:node")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(cron: str, after: str, count: int) -> list[str]:
    """The slots after a UTC time, as UTC text."""
    return [slot.strftime("%d %H:%M") for slot in islice(slots(cron).after(utc(after)), count)]


def schedule(**properties: Any) -> Schedule:
    return Schedule(**{"cron": HOURLY, "max_events": 0, **properties})


def hours(outputs: list[Any]) -> list[str]:
    return [output["payload"]["scheduled_time"][11:16] for output in outputs]


def test_a_time_that_does_not_exist_fires_when_the_clocks_have_gone_forward() -> None:
    # On 2026-03-29 Berlin goes from 02:00 (+01) to 03:00 (+02), which is 01:00 UTC.
    assert first("30 2 * * *", "2026-03-27T12:00", 4) == ["28 01:30", "29 01:00", "30 00:30", "31 00:30"]


def test_two_times_that_do_not_exist_are_one_slot() -> None:
    assert first("0,30 2 * * *", "2026-03-28T12:00", 3) == ["29 01:00", "30 00:00", "30 00:30"]


def test_a_time_that_comes_twice_fires_the_first_time_only() -> None:
    # On 2026-10-25 Berlin goes from 03:00 (+02) back to 02:00 (+01), which is 01:00 UTC.
    assert first("30 2 * * *", "2026-10-23T12:00", 3) == ["24 00:30", "25 00:30", "26 01:30"]


def test_a_time_that_has_come_once_does_not_come_back_in_the_repeated_hour() -> None:
    assert first("30 2 * * *", "2026-10-25T01:10", 2) == ["26 01:30", "27 01:30"]


@pytest.mark.parametrize("day", ["2026-03-28T22:00", "2026-10-24T22:00"])
def test_an_hourly_schedule_keeps_its_rhythm_over_a_change_of_clocks(day: str) -> None:
    found = list(islice(slots(HOURLY).after(utc(day)), 12))
    assert {b - a for a, b in pairwise(found)} == {timedelta(hours=1)}


def test_every_day_of_a_year_has_one_slot_of_a_daily_schedule() -> None:
    daily = list(islice(slots("30 2 * * *").after(datetime(2025, 12, 31, 23, tzinfo=UTC)), 365))
    days = [slot.astimezone(BERLIN).date() for slot in daily]
    assert len(set(days)) == 365
    assert (days[0].isoformat(), days[-1].isoformat()) == ("2026-01-01", "2026-12-31")
    assert [slot.astimezone(BERLIN).strftime("%H:%M") for slot in daily].count("02:30") == 364


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *", "0 */2 * * *", "15,45 1-3 * * *", "0 30 2 * * *"])
@pytest.mark.parametrize("day", ["2026-03-28T20:00", "2026-10-24T20:00"])
def test_slots_ascend_from_wherever_one_begins_to_look(cron: str, day: str) -> None:
    begin = utc(day)
    all_slots = list(islice(slots(cron).after(begin), 60))
    assert all_slots == sorted(set(all_slots))
    for minutes in range(0, 720, 7):
        moment = begin + timedelta(minutes=minutes)
        expected = next(slot for slot in all_slots if slot > moment)
        assert next(slots(cron).after(moment)) == expected, moment
        latest = slots(cron).latest(moment)
        assert latest is not None
        assert latest <= moment
        if moment >= all_slots[0]:
            assert latest == max(slot for slot in all_slots if slot <= moment), moment


def test_jitter_is_the_same_for_a_slot_and_another_for_others() -> None:
    jittered = slots(HOURLY, jitter=60)
    delays = [jittered.delay(slot) for slot in islice(jittered.after(utc("2026-01-01T00:00")), 50)]
    assert delays == [jittered.delay(slot) for slot in islice(jittered.after(utc("2026-01-01T00:00")), 50)]
    assert len(set(delays)) == 50
    assert all(timedelta(0) <= delay < timedelta(seconds=60) for delay in delays)


async def test_a_schedule_fires_at_its_times_and_never_at_the_inactivity_timeout(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: schedule(time_zone="Europe/Berlin", cron="0 3 * * *"))
    living = asyncio.create_task(life.complete(2))
    await manual_clock.advance(7199)
    assert not life.host.recorded("SlotMissed")
    assert not living.done()
    await manual_clock.advance(86_401)
    outputs = await living
    assert [output["payload"]["scheduled_time"] for output in outputs] == [
        "2026-01-01T02:00:00+00:00",
        "2026-01-02T02:00:00+00:00",
    ]
    assert [output["payload"]["triggered_at"] for output in outputs] == [
        output["payload"]["scheduled_time"] for output in outputs
    ]


async def test_jitter_moves_the_firing_and_not_the_slot(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: schedule(jitter_seconds=600))
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.wake_time is not None
    assert utc("2026-01-01T01:00") < outcome.wake_time < utc("2026-01-01T01:10")
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(4200)
    (output,) = await living
    assert output["payload"]["scheduled_time"] == "2026-01-01T01:00:00+00:00"
    assert output["payload"]["triggered_at"] == outcome.wake_time.isoformat()
    assert life.host.recorded("SlotMissed") == []


async def down_from_midnight_to_half_past_three(clock: ManualClock, **properties: Any) -> NodeLife:
    life = NodeLife(clock, lambda: schedule(**properties))
    assert isinstance(await life.passage(), Suspended)
    await clock.advance(3.5 * 3600)
    return life


async def test_missed_slots_fire_once_by_default(manual_clock: ManualClock) -> None:
    life = await down_from_midnight_to_half_past_three(manual_clock)
    living = asyncio.create_task(life.complete(2))
    await manual_clock.advance(1800)
    outputs = await living
    assert hours(outputs) == ["03:00", "04:00"]
    assert outputs[0]["payload"]["triggered_at"] == "2026-01-01T03:30:00+00:00"
    lines = life.host.recorded("SlotMissed")
    assert [line["scheduled_time"][11:16] for line in lines] == ["01:00", "02:00", "03:00"]
    assert {line["policy"] for line in lines} == {"once"}


async def test_missed_slots_are_skipped_if_the_policy_says_so(manual_clock: ManualClock) -> None:
    life = await down_from_midnight_to_half_past_three(manual_clock, missed="skip")
    living = asyncio.create_task(life.complete())
    await manual_clock.settle()
    assert [line["scheduled_time"][11:16] for line in life.host.recorded("SlotMissed")] == ["01:00", "02:00", "03:00"]
    assert not living.done()
    await manual_clock.advance(1800)
    assert hours(await living) == ["04:00"]
    assert len(life.host.recorded("SlotMissed")) == 3


async def test_skipping_is_committed_by_a_suspension_of_its_own(manual_clock: ManualClock) -> None:
    life = await down_from_midnight_to_half_past_three(manual_clock, missed="skip")
    assert life.suspended is not None
    assert life.suspended.wake_time is not None
    life.host.fire(life.suspended.wake_time)
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == "Missed slots were skipped"
    assert outcome.wake_time == utc("2026-01-01T04:00")
    assert outcome.state["cursor"] == "2026-01-01T03:00:00+00:00"


async def test_every_missed_slot_fires_if_the_policy_says_so(manual_clock: ManualClock) -> None:
    life = await down_from_midnight_to_half_past_three(manual_clock, missed="all")
    living = asyncio.create_task(life.complete(4))
    await manual_clock.advance(1800)
    outputs = await living
    assert hours(outputs) == ["01:00", "02:00", "03:00", "04:00"]
    assert [line["scheduled_time"][11:16] for line in life.host.recorded("SlotMissed")] == ["01:00", "02:00", "03:00"]


async def test_a_single_slot_that_is_hours_late_was_missed(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: schedule(cron="0 3 * * *", missed="skip"))
    await life.passage()
    await manual_clock.advance(9 * 3600)
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(18 * 3600)
    assert [output["payload"]["scheduled_time"] for output in await living] == ["2026-01-02T03:00:00+00:00"]
    assert len(life.host.recorded("SlotMissed")) == 1


@pytest.mark.parametrize("policy", ["once", "skip", "all"])
async def test_a_slot_that_a_takeover_delayed_was_not_missed(manual_clock: ManualClock, policy: str) -> None:
    life = NodeLife(manual_clock, lambda: schedule(missed=policy))
    await life.passage()
    await manual_clock.advance(3600 + 20)
    assert hours(await life.complete()) == ["01:00"]
    assert life.host.recorded("SlotMissed") == []


async def test_an_event_from_outside_does_not_use_the_slot_up(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, schedule)
    life.host.deliver("now", [1, 2])
    (early,) = await life.complete()
    assert early["payload"]["data"] == [1, 2]
    assert early["payload"]["early"] is True
    assert early["payload"]["scheduled_time"] == "2026-01-01T01:00:00+00:00"
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(3600)
    assert hours(await living) == ["01:00"]


async def test_an_early_event_among_missed_slots_loses_none_of_them(manual_clock: ManualClock) -> None:
    life = await down_from_midnight_to_half_past_three(manual_clock)
    life.host.deliver("now", None)
    early, late = await life.complete(2)
    assert early["payload"]["early"] is True
    assert hours([late]) == ["03:00"]
    assert len(life.host.recorded("SlotMissed")) == 3


async def test_a_timer_counts_although_this_clock_is_a_little_behind(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, schedule)
    await life.passage()
    await manual_clock.advance(3599.9)
    life.host.fire(utc("2026-01-01T01:00"))
    outcome = await life.passage()
    assert isinstance(outcome, Completed)
    assert hours([outcome.output]) == ["01:00"]
    following = await life.passage()
    assert isinstance(following, Suspended)
    assert following.wake_time == utc("2026-01-01T02:00")


async def test_a_timer_of_a_slot_that_was_dealt_with_changes_nothing(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, schedule)
    await life.passage()
    life.host.fire(utc("2026-01-01T00:00"))
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.wake_time == utc("2026-01-01T01:00")
    assert len(life.host.recorded("SuspensionUpdated")) == 1


async def test_two_years_of_missed_minutes_are_reckoned_quickly(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: schedule(cron="* * * * *", time_zone="Europe/Berlin"))
    life.run = NodeLife(ManualClock(utc("2024-01-01T00:00")), schedule).run
    assert hours(await life.complete()) == ["00:00"]
    lines = life.host.recorded("SlotMissed")
    assert len(lines) == 101
    assert lines[100] == {
        "from": "2024-01-01T01:41:00+00:00",
        "until": "2025-12-31T23:59:00+00:00",
        "policy": "once",
    }
