"""A batch that goes on collecting for a while after its first event."""

from typing import Any

from runner_service.domain.projection import RunState
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.clock import ManualClock


def batching(**properties: Any) -> dict[str, Any]:
    trigger = node("m", "Manual", batch_size=3, batch_window_seconds=60, **{"max_events": 3, **properties})
    return chain(trigger, node("o", "Output"))


async def test_events_that_come_within_the_window_are_one_batch(replica: Replicas, manual_clock: ManualClock) -> None:
    async with replica(clock=manual_clock) as runner:
        run_id = await runner.start(batching())
        await runner.until_hot(run_id, "m")
        await runner.wake(run_id, "m", None, "e0")
        await runner.wake(run_id, "m", None, "e1")
        await runner.wake(run_id, "m", None, "e2")
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert [event["event_id"] for event in run.outputs["o"]] == ["e0", "e1", "e2"]


async def test_a_batch_never_waits_for_more_than_max_events_leaves(
    replica: Replicas, manual_clock: ManualClock
) -> None:
    async with replica(clock=manual_clock) as runner:
        run_id = await runner.start(batching(max_events=1))
        await runner.until_hot(run_id, "m")
        await runner.wake(run_id, "m", None, "e0")
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert [e["event_id"] for e in run.outputs["o"]] == ["e0"]


async def test_the_window_closes_by_time(replica: Replicas, manual_clock: ManualClock) -> None:
    async with replica(clock=manual_clock) as runner:
        run_id = await runner.start(batching(max_events=2))
        await runner.until_hot(run_id, "m")
        await runner.wake(run_id, "m", None, "e0")
        await eventually(lambda: _closed(runner, manual_clock, run_id))
        await runner.wake(run_id, "m", None, "e1")
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert [e["event_id"] for e in run.outputs["o"]] == ["e1"]
        assert [state for state, _ in (await runner.events(run_id)).values()] == ["CONSUMED", "CONSUMED"]


async def _closed(runner: Runner, clock: ManualClock, run_id: str) -> bool:
    await clock.advance(20)
    return (await runner.events(run_id))["e0"] == ("CONSUMED", None)
