"""Waiting in memory, then as a row, and going on."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from runner_service.domain.history import EventType, HistoryEvent
from runner_service.domain.projection import RunState
from runner_service.domain.runs import Disposition
from runner_service.usecases.cancel_run import cancel_run
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, edge, node
from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import Context, Node, TriggerNode

MANUAL = chain(node("m", "Manual"), node("o", "Output"))


async def line(runner: Runner, run_id: str, event_type: EventType) -> HistoryEvent:
    (found,) = [event for event in await runner.log(run_id) if event.event_type is event_type]
    return found


async def test_five_idle_minutes_turn_a_wait_into_a_row_and_an_event_turns_it_back(
    replica: Replicas, manual_clock: ManualClock
) -> None:
    class Keeper(TriggerNode):
        def state_to_save(self) -> dict[str, Any]:
            return {"kept": 7}

    async with replica(nodes=[Keeper], clock=manual_clock) as runner:
        run_id = await runner.start(chain(node("k", "Keeper"), node("o", "Output")))
        await runner.until_hot(run_id, "k")
        await manual_clock.advance(299)
        assert (await runner.get(run_id)).run.state is RunState.RUNNING
        await manual_clock.advance(1)
        await runner.until(run_id, RunState.SUSPENDED)
        suspended_at = manual_clock.now().isoformat()
        state = {"suspended_at": suspended_at, "kept": 7}
        metadata = {"trigger_node": True, "inactivity_suspension": True, "inactivity_timeout_seconds": 300}
        told = {"reason": "Trigger inactivity timeout (300s)", "state": state, "metadata": metadata}
        assert (await line(runner, run_id, EventType.NODE_SUSPENDED)).payload == told
        assert (await line(runner, run_id, EventType.RUN_SUSPENDED)).payload == {"node_ids": ["k"]}
        (row,) = await runner.rows("select reason, state, metadata, wake_time from runner.waits")
        assert {**row} == {**told, "wake_time": None}

        await manual_clock.advance(100)
        assert (await runner.wake(run_id, "k", {"n": 1}, "e1")).disposition is Disposition.DELIVERED
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        resumed = await line(runner, run_id, EventType.NODE_RESUMED)
        event = resumed.payload["state"].pop("trigger_event")
        assert resumed.payload == {"state": {**state, "woke_up_at": manual_clock.now().isoformat()}, "attempt": 1}
        assert event == run.outputs["o"]
        assert (event["event_id"], event["payload"], event["timestamp"]) == ("e1", {"n": 1}, event["occur_time"])
        assert await runner.waits(run_id) == {}


async def test_an_event_within_the_timeout_never_leaves_memory(replica: Replicas, manual_clock: ManualClock) -> None:
    async with replica(clock=manual_clock) as runner:
        run_id = await runner.start(MANUAL)
        await runner.until_hot(run_id, "m")
        await manual_clock.advance(299)
        await runner.wake(run_id, "m")
        await runner.until(run_id, RunState.COMPLETED)
        types = {event.event_type for event in await runner.log(run_id)}
        assert not types & {EventType.NODE_SUSPENDED, EventType.RUN_SUSPENDED, EventType.RUN_RESUMED}


async def test_one_event_wakes_only_its_node(replica: Replicas) -> None:
    cold = {"inactivity_timeout_seconds": 0}
    graph = {
        "nodes": [node("a", "Manual", **cold), node("b", "Manual", **cold), node("o", "Output", name="joined")],
        "edges": [edge("a", "o")],
    }
    async with replica() as runner:
        run_id = await runner.start(graph)
        assert (await runner.until(run_id, RunState.SUSPENDED)).suspended_node_ids == ("a", "b")
        await runner.wake(run_id, "b")

        async def only_a_waits() -> bool:
            run = (await runner.get(run_id)).run
            return run.state is RunState.SUSPENDED and run.suspended_node_ids == ("a",)

        await eventually(only_a_waits)
        assert await runner.attempts(run_id, "a") == [1]
        await runner.wake(run_id, "a")
        await runner.until(run_id, RunState.COMPLETED)


async def test_a_run_does_not_suspend_while_another_node_works(replica: Replicas) -> None:
    release = asyncio.Event()

    class Busy(Node):
        async def process(self, context: Context) -> Any:
            await release.wait()

    graph = {"nodes": [node("b", "Busy"), node("m", "Manual", inactivity_timeout_seconds=0)], "edges": []}
    async with replica(nodes=[Busy]) as runner:
        run_id = await runner.start(graph)
        await eventually(lambda: _is_suspended(runner, run_id, "m"))
        assert (await runner.get(run_id)).run.state is RunState.RUNNING
        release.set()
        await runner.until(run_id, RunState.SUSPENDED)
        await runner.wake(run_id, "m")
        await runner.until(run_id, RunState.COMPLETED)


async def _is_suspended(runner: Runner, run_id: str, node_id: str) -> bool:
    return (await runner.waits(run_id)).get(node_id, False)


async def test_an_event_for_a_suspended_node_wakes_it_while_another_node_works(replica: Replicas) -> None:
    release = asyncio.Event()

    class Busy(Node):
        async def process(self, context: Context) -> Any:
            await release.wait()

    graph = {
        "nodes": [node("b", "Busy"), node("m", "Manual", inactivity_timeout_seconds=0), node("c", "Constant")],
        "edges": [edge("m", "c")],
    }
    async with replica(nodes=[Busy]) as runner:
        run_id = await runner.start(graph)
        await eventually(lambda: _is_suspended(runner, run_id, "m"))
        assert (await runner.wake(run_id, "m")).disposition is Disposition.DELIVERED

        async def passed_on() -> bool:
            return bool(await runner.count(run_id, EventType.NODE_COMPLETED, "c"))

        await eventually(passed_on)
        release.set()
        await runner.until(run_id, RunState.COMPLETED)


async def test_the_oldest_wait_leaves_memory_when_there_is_no_room(replica: Replicas) -> None:
    async with replica(max_hot_waits=2) as runner:
        run_ids = []
        for _ in range(4):
            run_ids.append(await runner.start(MANUAL))
            await runner.until_hot(run_ids[-1], "m")
        for run_id in run_ids[:2]:
            await runner.until(run_id, RunState.SUSPENDED)
        for run_id in run_ids[2:]:
            await runner.until_hot(run_id, "m")
        for run_id in run_ids:
            await runner.wake(run_id, "m")
            await runner.until(run_id, RunState.COMPLETED)


async def test_without_room_in_memory_every_wait_is_a_row(replica: Replicas) -> None:
    async with replica(max_hot_waits=0) as runner:
        run_id = await runner.start(MANUAL)
        await runner.until(run_id, RunState.SUSPENDED)
        await runner.wake(run_id, "m")
        await runner.until(run_id, RunState.COMPLETED)


async def test_everything_wakes_by_polling_when_nobody_listens(replica: Replicas) -> None:
    # A second replica takes the calls; it notifies, and nobody listens.
    async with replica() as holder, replica(claiming=False) as elsewhere:
        hot = await holder.start(MANUAL)
        await holder.until_hot(hot, "m")
        cold = await holder.start(chain(node("m", "Manual", inactivity_timeout_seconds=0)))
        await holder.until(cold, RunState.SUSPENDED)
        cancelled = await holder.start(MANUAL)
        await holder.until_hot(cancelled, "m")
        await cancel_run(elsewhere.database, elsewhere.hub, cancelled, "enough", None)
        fresh = await elsewhere.start(chain(node("c", "Constant")))
        timed = await elsewhere.start(chain(node("d", "Delay", seconds=0.1)))
        for run_id in (hot, cold):
            assert (await elsewhere.wake(run_id, "m")).disposition is Disposition.DELIVERED
        for run_id in (hot, cold, fresh, timed):
            await elsewhere.until(run_id, RunState.COMPLETED, seconds=5)
        await eventually(lambda: holder.replica.worker.held == 0)


async def test_a_wake_up_is_found_by_polling_however_long_polling_was_impossible(
    replica: Replicas, manual_clock: ManualClock
) -> None:
    async with replica(clock=manual_clock) as holder, replica(claiming=False) as elsewhere:
        run_id = await holder.start(chain(node("m", "Manual", inactivity_timeout_seconds=100_000)))
        await holder.until_hot(run_id, "m")
        await elsewhere.wake(run_id, "m")
        # As if ten minutes had gone by since then without a look that succeeded.
        await holder.rows("update runner.runs set update_time = update_time - $1::interval", timedelta(minutes=10))
        await asyncio.sleep(0)
        await manual_clock.advance(0.5)
        assert (await holder.get(run_id)).run.state is RunState.RUNNING
        manual_clock._elapsed += 600
        await manual_clock.advance(1)
        await holder.until(run_id, RunState.COMPLETED)


async def test_any_node_may_suspend_the_workflow(replica: Replicas) -> None:
    class Asking(Node):
        async def process(self, context: Context) -> Any:
            if not self.is_resuming():
                await self.suspend_workflow("needs a person", {"question": 1}, {"for": "you"})
            saved = await self.get_saved_state()
            return {"question": saved["question"], "answer": saved["trigger_event"]["payload"]}

    async with replica(nodes=[Asking]) as runner:
        run_id = await runner.start(chain(node("a", "Asking"), node("o", "Output")))
        await runner.until(run_id, RunState.SUSPENDED)
        (row,) = await runner.rows("select reason, state, metadata, node_type from runner.waits")
        assert tuple(row) == ("needs a person", {"question": 1}, {"for": "you"}, "Asking")
        await runner.wake(run_id, "a", 42)
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs == {"o": {"question": 1, "answer": 42}}


@pytest.mark.parametrize("timeout", [0, 300])
async def test_a_trigger_takes_events_until_it_has_enough_and_the_rest_is_dead_lettered(
    replica: Replicas, timeout: float
) -> None:
    graph = chain(node("m", "Manual", max_events=3, inactivity_timeout_seconds=timeout), node("o", "Output"))
    async with replica(claiming=False) as outside:
        run_id = await outside.start(graph)
        for number in range(5):
            await outside.wake(run_id, "m", number, f"e{number}")
    async with replica() as runner:
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert run.outputs["o"]["payload"] == 2
        states = [state for state, _ in (await runner.events(run_id)).values()]
        assert states == ["CONSUMED"] * 3 + ["DEAD_LETTERED"] * 2
        activations = [
            e.activation
            for e in await runner.log(run_id)
            if e.event_type is EventType.NODE_COMPLETED and e.node_id == "o"
        ]
        assert activations == ["1", "2", "3"]


async def test_a_nested_trigger_waits_anew_in_each_activation_of_the_outer_one(replica: Replicas) -> None:
    graph = chain(node("outer", "Manual", max_events=2), node("inner", "Manual"), node("o", "Output"))
    async with replica() as runner:
        run_id = await runner.start(graph)
        for number in (1, 2):
            await runner.until_hot(run_id, "outer")
            await runner.wake(run_id, "outer", f"outer {number}")
            await runner.until_hot(run_id, "inner")
            await runner.wake(run_id, "inner", f"inner {number}")
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert run.outputs["o"]["payload"] == "inner 2"
        places = [
            (e.node_id, e.activation) for e in await runner.log(run_id) if e.event_type is EventType.NODE_COMPLETED
        ]
        assert places == [(n, f"{a}.1" if n != "outer" else a) for a in ("1", "2") for n in ("outer", "inner", "o")]


async def test_what_joins_two_independent_triggers_runs_once(replica: Replicas) -> None:
    graph = {
        "nodes": [node("a", "Manual"), node("b", "Manual"), node("o", "Output"),
                  node("sum", "Expression", expression="inputs.a.payload + inputs.b.payload")],
        "edges": [edge("a", "sum", target_input="a"), edge("b", "sum", target_input="b"), edge("sum", "o")],
    }  # fmt: skip
    async with replica() as runner:
        run_id = await runner.start(graph)
        await runner.until_hot(run_id, "a", "b")
        await runner.wake(run_id, "b", 40)
        await runner.until_hot(run_id, "a")
        await runner.wake(run_id, "a", 2)
        assert (await runner.until(run_id, RunState.COMPLETED)).outputs == {"o": 42}
        assert await runner.count(run_id, EventType.NODE_COMPLETED, "sum") == 1
