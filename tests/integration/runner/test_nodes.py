"""Node types on a real replica and a real database: timers, webhooks and suspensions as their authors mean them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.example_nodes import IntervalTrigger, ScheduleTrigger, WebhookTrigger
from tests.support.runner import Runner, chain, node, runner_on
from wakepoint.chassis.database import Database
from wakepoint.nodes import Node


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    nodes: list[type[Node]] = [IntervalTrigger, ScheduleTrigger, WebhookTrigger]
    async with runner_on(runner_db, runner_dsn, tmp_path, nodes=nodes) as running:
        yield running


async def test_the_interval_example_suspends_and_resumes_with_its_state(runner: Runner) -> None:
    example = node("every", "IntervalTrigger", interval_seconds=60, inactivity_timeout_seconds=0.05)
    run_id = await runner.start(chain(example, node("o", "Output")))
    await runner.until(run_id, RunState.SUSPENDED)
    await runner.wake(run_id, "every", {"n": 1}, "e1")
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    output = run.outputs["o"]
    assert (output["status"], output["node_id"]) == ("resumed", "every")
    assert output["trigger_event"]["event_id"] == "e1"
    assert output["saved_state"]["interval_seconds"] == 60
    assert output["saved_state"].keys() >= {"suspended_at", "last_trigger", "woke_up_at", "trigger_event"}
    (suspended,) = [line for line in await runner.log(run_id) if line.event_type is EventType.NODE_SUSPENDED]
    assert suspended.payload["reason"] == "Trigger inactivity timeout (0.05s)"
    assert suspended.payload["metadata"] == {
        "trigger_node": True,
        "inactivity_suspension": True,
        "inactivity_timeout_seconds": 0.05,
    }


async def test_the_webhook_example_has_the_same_webhook_after_its_suspension(runner: Runner) -> None:
    example = node("hook", "WebhookTrigger", inactivity_timeout_seconds=0.05)
    run_id = await runner.start(chain(example, node("o", "Output")))
    await runner.until(run_id, RunState.SUSPENDED)
    await runner.wake(run_id, "hook", {"pushed": True})
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert run.outputs["o"]["webhook_data"] == {"pushed": True}
    (suspended,) = [line for line in await runner.log(run_id) if line.event_type is EventType.NODE_SUSPENDED]
    assert suspended.payload["state"]["webhook_id"] == run.outputs["o"]["webhook_id"] != ""


async def test_the_schedule_example_fires_from_the_database_at_its_time(runner: Runner) -> None:
    run_id = await runner.start(chain(node("hourly", "ScheduleTrigger"), node("o", "Output")))
    await runner.until(run_id, RunState.SUSPENDED)
    (suspended,) = [line for line in await runner.log(run_id) if line.event_type is EventType.NODE_SUSPENDED]
    next_run = datetime.fromisoformat(suspended.payload["state"]["next_run_time"])
    assert suspended.payload["wake_time"] == next_run.isoformat()
    assert timedelta(0) < next_run - suspended.create_time <= timedelta(hours=1)
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", timedelta(hours=1))
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert run.outputs["o"]["scheduled_time"] == next_run.isoformat()
    assert run.outputs["o"]["event"]["payload"] == {"wake_time": next_run.isoformat()}
    assert await runner.count(run_id, EventType.TIMER_FIRED, "hourly") == 1


@pytest.mark.parametrize("inactivity_timeout", [300, 0])
async def test_an_interval_fires_on_its_slots_hot_or_suspended(runner: Runner, inactivity_timeout: float) -> None:
    every = node(
        "every",
        "Interval",
        interval_seconds=0.3,
        max_events=3,
        emit_on_start=True,
        inactivity_timeout_seconds=inactivity_timeout,
    )
    run_id = await runner.start(chain(every, node("o", "Output")))
    run = await runner.until(run_id, RunState.COMPLETED)
    completed = [
        line
        for line in await runner.log(run_id)
        if (line.event_type, line.node_id) == (EventType.NODE_COMPLETED, "every")
    ]
    payloads = [line.payload["outputs"]["output"]["payload"] for line in completed]
    slots = [datetime.fromisoformat(payload["scheduled_time"]) for payload in payloads]
    assert slots[0] == run.create_time
    # A machine that is too slow for a slot merges it with the next one, so a distance can be a multiple.
    for before, after in pairwise(slots):
        assert (after - before) % timedelta(seconds=0.3) == timedelta(0)
        assert after > before
    assert all(datetime.fromisoformat(p["triggered_at"]) >= slot for p, slot in zip(payloads, slots, strict=True))


async def test_an_early_wake_up_leaves_the_slot_of_a_schedule_alone(runner: Runner) -> None:
    nightly = node("nightly", "Schedule", cron="30 2 * * *", time_zone="Europe/Berlin", max_events=2)
    run_id = await runner.start(chain(nightly, node("o", "Output")))
    await runner.until(run_id, RunState.SUSPENDED)
    await runner.wake(run_id, "nightly", {"why": "now"})

    async def suspended_again() -> bool:
        return await runner.count(run_id, EventType.NODE_SUSPENDED, "nightly") == 2

    run = await runner.until(run_id, RunState.SUSPENDED)
    await eventually(suspended_again)
    first, second = [
        datetime.fromisoformat(line.payload["wake_time"])
        for line in await runner.log(run_id)
        if line.event_type is EventType.NODE_SUSPENDED
    ]
    assert first == second
    assert run.create_time < first.astimezone(UTC) <= run.create_time + timedelta(hours=25)
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", timedelta(hours=26))
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert run.outputs["o"]["payload"]["scheduled_time"] == first.isoformat()


async def test_a_delay_suspends_and_passes_its_input_on(runner: Runner) -> None:
    run_id = await runner.start(
        chain(node("c", "Constant", value=[1]), node("d", "Delay", seconds="${0.2 + 0.1}"), node("o", "Output"))
    )
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs == {"o": [1]}
    assert await runner.count(run_id, EventType.NODE_SUSPENDED, "d") == 1
    assert run.end_time is not None
    assert run.end_time - run.create_time >= timedelta(seconds=0.3)
