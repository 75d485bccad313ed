"""Waits that expire, go stale or fail again and again, and events that come too late."""

from datetime import timedelta
from typing import Any

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import NodeState, RunState
from runner_service.domain.runs import SuspendedNode, WaitHealth
from runner_service.domain.trigger_events import TriggerEvent
from runner_service.storage.waits import SuspendedFilter
from runner_service.usecases.cancel_run import cancel_run
from runner_service.usecases.execution import passages
from runner_service.usecases.expire_events import expire_events
from runner_service.usecases.expire_waits import expire_waits
from runner_service.usecases.list_suspended import list_suspended
from runner_service.usecases.wake_up import WakeUpRequest, wake_up
from runner_service.usecases.watch_health import count_unwell, watch_health
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.runner import Runner, chain, edge, node
from wakepoint.chassis.clock import SystemClock
from wakepoint.nodes import Context, TriggerNode


async def move_clock(runner: Runner, **span: float) -> None:
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", timedelta(**span))


async def suspended(replica: Replicas, graph: dict[str, Any]) -> str:
    async with replica() as runner:
        run_id = await runner.start(graph)
        await runner.until(run_id, RunState.SUSPENDED)
    return run_id


async def listed(runner: Runner, **where: Any) -> list[SuspendedNode]:
    return (await list_suspended(runner.database, SuspendedFilter(**where), 50, "")).nodes


def manual(**properties: Any) -> dict[str, Any]:
    return node("m", "Manual", **{"inactivity_timeout_seconds": 0, **properties})


@pytest.mark.parametrize("hot", [False, True])
async def test_an_expired_wait_skips_its_node_and_the_rest_of_the_run_goes_on(replica: Replicas, hot: bool) -> None:
    graph = {
        "nodes": [
            manual(expires_after_seconds=3600, inactivity_timeout_seconds=300 if hot else 0),
            node("behind", "Output"),
            node("c", "Constant", value=1),
            node("other", "Output"),
        ],
        "edges": [edge("m", "behind"), edge("c", "other")],
    }
    async with replica() as runner:
        run_id = await runner.start(graph)
        if hot:
            await runner.until_hot(run_id, "m")
        else:
            await runner.until(run_id, RunState.SUSPENDED)
            (shown,) = await listed(runner)
            assert shown.expire_time is not None
        await move_clock(runner, minutes=61)
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs == {"other": 1}
        projection = (await runner.get(run_id)).projection
        states = {n: record.state for n, _, record in projection.records()}
        assert states["m"] is states["behind"] is NodeState.SKIPPED
        (skipped,) = [
            e for e in await runner.log(run_id) if e.event_type is EventType.NODE_SKIPPED and e.node_id == "m"
        ]
        assert skipped.payload == {"reason": "its wait expired"}


async def test_two_sweepers_expire_a_wait_once_and_an_event_that_was_there_before_wins(replica: Replicas) -> None:
    run_id = await suspended(replica, chain(manual(expires_after_seconds=60, max_events=2), node("o", "Output")))
    async with replica(claiming=False) as outside:
        await outside.wake(run_id, "m", "in time", "e1")
        await move_clock(outside, minutes=2)
        assert await expire_waits(outside.database, outside.hub) == 1
        assert await expire_waits(outside.database, outside.hub) == 0
    async with replica() as runner:
        run = await runner.until(run_id, RunState.SUSPENDED)
        assert run.suspended_node_ids == ("m",), "the second passage waits: the end was meant for the first"
        assert (await runner.events(run_id))["e1"] == ("CONSUMED", None)
        reasons = [reason for state, reason in (await runner.events(run_id)).values() if state == "DEAD_LETTERED"]
        assert reasons == ["the wait had ended before it expired"]
        await cancel_run(runner.database, runner.hub, run_id, "", None)


async def test_a_wait_keeps_its_end_when_it_goes_from_memory_to_the_database(
    replica: Replicas, manual_clock: Any
) -> None:
    async with replica(clock=manual_clock) as runner:
        run_id = await runner.start(chain(manual(expires_after_seconds=3600, inactivity_timeout_seconds=300)))
        await runner.until_hot(run_id, "m")
        (hot,) = await listed(runner, include_waiting=True)
        await manual_clock.advance(300)
        await runner.until(run_id, RunState.SUSPENDED)
        (cold,) = await listed(runner)
        assert hot.expire_time == cold.expire_time is not None


@pytest.mark.parametrize(("policy", "state"), [("expire", RunState.COMPLETED), ("cancel", RunState.CANCELLED)])
async def test_a_stale_wait_ends_as_its_policy_says(replica: Replicas, policy: str, state: RunState) -> None:
    run_id = await suspended(replica, chain(manual(stale_after_seconds=3600, stale_policy=policy)))
    async with replica() as runner:
        await move_clock(runner, minutes=59)
        assert await expire_waits(runner.database, runner.hub) == 0
        await move_clock(runner, minutes=61)
        await runner.until(run_id, state)


async def test_a_stale_wait_without_a_policy_is_told_once_and_waits_on(replica: Replicas) -> None:
    run_id = await suspended(replica, chain(manual(stale_after_seconds=3600)))
    async with replica(claiming=False) as outside:
        assert await watch_health(outside.database, outside.hub) == 0
        await move_clock(outside, minutes=61)
        assert [n.health for n in await listed(outside)] == [WaitHealth.STALE]
        assert len(await listed(outside, health=WaitHealth.STALE)) == 1
        assert await listed(outside, health=WaitHealth.OK) == []
        assert await watch_health(outside.database, outside.hub) == 1
        assert await watch_health(outside.database, outside.hub) == 0
        (told,) = [e for e in await outside.log(run_id) if e.event_type is EventType.HEALTH_CHANGED]
        assert (told.payload["from"], told.payload["to"]) == ("OK", "STALE")
        assert (await count_unwell(outside.database))[WaitHealth.STALE] == 1
        await outside.wake(run_id, "m")
    async with replica() as runner:
        await runner.until(run_id, RunState.COMPLETED)


async def test_a_timer_that_nobody_fires_is_told_as_overdue_after_a_minute(replica: Replicas) -> None:
    run_id = await suspended(replica, chain(node("d", "Delay", seconds=3600)))
    async with replica(claiming=False) as outside:
        await move_clock(outside, minutes=60, seconds=30)
        assert await watch_health(outside.database, outside.hub) == 0, "it may still fire"
        await move_clock(outside, minutes=62)
        assert await watch_health(outside.database, outside.hub) == 1
        assert await outside.count(run_id, EventType.HEALTH_CHANGED, "d") == 1


async def test_an_endless_trigger_that_fails_again_and_again_is_failing_and_then_disabled(
    replica: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages, "DISABLE_AFTER", 5)

    class Broken(TriggerNode):
        async def on_event(self, event: Any, context: Context) -> Any:
            raise ValueError("no")

    broken = node("b", "Broken", max_events=0)
    broken["retry"] = {"max_attempts": 1000, "initial_backoff_seconds": 0}
    async with replica(nodes=[Broken]) as runner:
        run_id = await runner.start(chain(broken))
        await runner.wake(run_id, "b", None, "e1")
        run = await runner.until(run_id, RunState.FAILED)
        assert run.error is not None
        assert run.error["message"] == "disabled after 5 errors in a row, the last of them: no"
        assert await runner.count(run_id, EventType.NODE_RETRY_SCHEDULED, "b") == 4
        assert await runner.events(run_id) == {"e1": ("DEAD_LETTERED", "the run has failed")}


async def test_a_trigger_that_waits_again_after_three_errors_is_shown_as_failing(replica: Replicas) -> None:
    class Shaky(TriggerNode):
        async def process(self, context: Context) -> Any:
            if context.failures < 3:
                raise ValueError("no")
            return await super().process(context)

    shaky = node("s", "Shaky", max_events=0, inactivity_timeout_seconds=0)
    shaky["retry"] = {"max_attempts": 10, "initial_backoff_seconds": 0}
    async with replica(nodes=[Shaky]) as runner:
        run_id = await runner.start(chain(shaky))
        await runner.until(run_id, RunState.SUSPENDED)

        async def told() -> bool:
            return await runner.count(run_id, EventType.HEALTH_CHANGED, "s") == 1

        await eventually(told)
        assert [n.node_id for n in await listed(runner, health=WaitHealth.FAILING)] == ["s"]
        await cancel_run(runner.database, runner.hub, run_id, "", None)


async def test_an_event_whose_time_passes_while_it_is_pending_expires(replica: Replicas) -> None:
    graph = chain(manual(), node("o", "Output"))
    async with replica(claiming=False) as outside:
        run_id = await outside.start(graph)
        soon = SystemClock().now() + timedelta(hours=1)
        event = TriggerEvent("late", "test", "test", 1, SystemClock().now(), expire_time=soon)
        await wake_up(outside.database, outside.hub, WakeUpRequest("m", event, run_id=run_id))
        await outside.wake(run_id, "m", 2, "e2")
        assert await expire_events(outside.database, outside.hub) == 0
        await move_clock(outside, minutes=61)
        assert await expire_events(outside.database, outside.hub) == 1
        assert (await outside.events(run_id))["late"] == ("EXPIRED", "its expire_time passed")
        assert await outside.count(run_id, EventType.TRIGGER_EVENT_EXPIRED, "m") == 1
    async with replica() as runner:
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert run.outputs["o"]["event_id"] == "e2"
