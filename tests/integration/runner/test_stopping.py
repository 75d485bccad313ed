"""Runs that are cancelled, and replicas that are told to stop."""

import asyncio
from typing import Any

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.usecases.cancel_run import cancel_run
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.errors import FailedPrecondition, NotFound
from wakepoint.chassis.ids import new_id
from wakepoint.nodes import Context, Node, TriggerInactivityTimeout, TriggerNode

MANUAL = chain(node("m", "Manual"), node("o", "Output"))


class Endless:
    """A node that works until somebody stops it, and says when it began and when it was stopped."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.release = asyncio.Event()
        self.stopped = asyncio.Event()

    def node_class(self) -> type[Node]:
        outer = self

        class Working(Node):
            async def process(self, context: Context) -> Any:
                outer.began.set()
                try:
                    await outer.release.wait()
                except asyncio.CancelledError:
                    outer.stopped.set()
                    raise
                return context.attempt

        return Working


async def cancel(runner: Runner, run_id: str) -> RunState:
    return (await cancel_run(runner.database, runner.hub, run_id, "enough", None)).state


async def test_cancelling_reaches_a_running_node_and_nothing_is_written_afterwards(replica: Replicas) -> None:
    work = Endless()
    async with replica(nodes=[work.node_class()]) as runner:
        run_id = await runner.start(chain(node("w", "Working")), source={"firing_id": "f1"})
        await work.began.wait()
        assert await cancel(runner, run_id) is RunState.CANCELLED
        async with asyncio.timeout(5):
            await work.stopped.wait()
        await eventually(lambda: runner.replica.worker.held == 0)
        run = (await runner.get(run_id)).run
        assert (await runner.log(run_id))[-1].event_type is EventType.RUN_CANCELLED
        assert run.error == {"type": "Cancelled", "message": "enough"}
        await eventually(lambda: runner.trigger.states)
        assert [(s["firing_id"], s["state"]) for s in runner.trigger.states] == [("f1", "CANCELLED")]


async def test_cancelling_elsewhere_reaches_a_running_node_by_polling(replica: Replicas) -> None:
    work = Endless()
    async with replica(nodes=[work.node_class()]) as holder, replica(claiming=False) as elsewhere:
        run_id = await holder.start(chain(node("w", "Working")))
        await work.began.wait()
        await cancel(elsewhere, run_id)
        async with asyncio.timeout(5):
            await work.stopped.wait()


async def test_an_outcome_that_comes_after_the_cancellation_is_refused(replica: Replicas) -> None:
    work = Endless()
    async with replica(nodes=[work.node_class()]) as holder, replica(claiming=False) as elsewhere:
        run_id = await holder.start(chain(node("w", "Working"), node("o", "Output")))
        await work.began.wait()
        await cancel(elsewhere, run_id)
        work.release.set()
        await eventually(lambda: holder.replica.worker.held == 0)
        assert await holder.count(run_id, EventType.NODE_COMPLETED) == 0


@pytest.mark.parametrize("state", ["queued", "hot", "suspended"])
async def test_a_run_that_executes_nothing_is_cancelled_at_once(replica: Replicas, state: str) -> None:
    cold = chain(node("m", "Manual", inactivity_timeout_seconds=0))
    if state == "queued":
        async with replica(claiming=False) as outside:
            assert await cancel(outside, await outside.start(MANUAL)) is RunState.CANCELLED
        return
    async with replica() as runner:
        run_id = await runner.start(MANUAL if state == "hot" else cold)
        if state == "hot":
            await runner.until_hot(run_id, "m")
        else:
            await runner.until(run_id, RunState.SUSPENDED)
        assert await cancel(runner, run_id) is RunState.CANCELLED
        assert await runner.waits(run_id) == {}
        await eventually(lambda: runner.replica.worker.held == 0)


async def test_a_run_is_cancelled_once_and_a_finished_one_not_at_all(replica: Replicas) -> None:
    async with replica() as runner:
        run_id = await runner.start(MANUAL)
        for _ in range(2):
            assert await cancel(runner, run_id) is RunState.CANCELLED
        assert await runner.count(run_id, EventType.RUN_CANCELLED) == 1
        done = await runner.start(chain(node("c", "Constant")))
        await runner.until(done, RunState.COMPLETED)
        with pytest.raises(FailedPrecondition):
            await cancel(runner, done)
        with pytest.raises(NotFound):
            await cancel(runner, new_id())


async def test_sixteen_cancellations_at_once_cancel_once(replica: Replicas) -> None:
    async with replica() as runner:
        run_id = await runner.start(MANUAL)
        await runner.until_hot(run_id, "m")
        states = await asyncio.gather(*(cancel(runner, run_id) for _ in range(16)))
        assert set(states) == {RunState.CANCELLED}
        assert await runner.count(run_id, EventType.RUN_CANCELLED) == 1


async def test_a_stopping_replica_suspends_what_waits_in_memory(replica: Replicas) -> None:
    async with replica() as first:
        run_id = await first.start(MANUAL)
        await first.until_hot(run_id, "m")
    async with replica(claiming=False) as outside:
        run = (await outside.get(run_id)).run
        assert (run.state, run.suspended_node_ids) == (RunState.SUSPENDED, ("m",))
        (row,) = await outside.rows("select dead from runner.replicas")
        assert row["dead"]
        await outside.wake(run_id, "m")
    async with replica() as second:
        await second.until(run_id, RunState.COMPLETED)
        assert await second.attempts(run_id, "m") == [1, 1]


async def test_a_stopping_replica_lets_executing_nodes_finish_and_starts_no_new_ones(replica: Replicas) -> None:
    work, after = Endless(), Endless()

    class Next(Node):
        async def process(self, context: Context) -> Any:
            after.began.set()
            return context.inputs["input"]

    nodes = [work.node_class(), Next]
    async with replica(nodes=nodes) as first:
        run_id = await first.start(chain(node("w", "Working"), node("n", "Next"), node("o", "Output")))
        await work.began.wait()
        draining = asyncio.create_task(first.replica.drain())
        await eventually(lambda: first.replica.worker._stopping)
        work.release.set()
        await draining
        assert not after.began.is_set()
        assert (await first.get(run_id)).run.state is RunState.QUEUED
    async with replica(nodes=nodes) as second:
        assert (await second.until(run_id, RunState.COMPLETED)).outputs == {"o": 1}
        assert await second.attempts(run_id, "w") == [1]
        assert await second.count(run_id, EventType.LEASE_TAKEN) == 0


async def test_what_does_not_finish_in_time_is_handed_back_and_runs_again_elsewhere(replica: Replicas) -> None:
    work = Endless()
    nodes = [work.node_class()]
    async with replica(nodes=nodes, drain_seconds=0.2) as first:
        run_id = await first.start(chain(node("w", "Working"), node("o", "Output")))
        await work.began.wait()
    assert work.stopped.is_set()
    async with replica(claiming=False) as outside:
        assert (await outside.get(run_id)).run.state is RunState.QUEUED
        (row,) = await outside.rows("select crashes, owner_id from runner.runs")
        assert tuple(row) == (0, None)
    work.release.set()
    async with replica(nodes=nodes) as second:
        assert (await second.until(run_id, RunState.COMPLETED)).outputs == {"o": 2}


async def test_a_back_off_does_not_hold_a_stopping_replica_up(replica: Replicas, manual_clock: ManualClock) -> None:
    class Flaky(Node):
        async def process(self, context: Context) -> Any:
            raise ValueError("not yet")

    retry = {"max_attempts": 2, "initial_backoff_seconds": 60}
    async with replica(nodes=[Flaky], clock=manual_clock, drain_seconds=60) as runner:
        run_id = await runner.start(chain({**node("f", "Flaky"), "retry": retry}))

        async def failed_once() -> bool:
            return bool(await runner.count(run_id, EventType.NODE_RETRY_SCHEDULED))

        await eventually(failed_once)
        async with asyncio.timeout(5):
            await runner.replica.drain()
        assert (await runner.get(run_id)).run.state is RunState.QUEUED


async def test_an_event_that_comes_while_a_run_is_handed_back_wakes_it_elsewhere(replica: Replicas) -> None:
    work = Endless()
    nodes = [work.node_class()]
    graph = {"nodes": [node("w", "Working"), node("m", "Manual", inactivity_timeout_seconds=0)], "edges": []}
    async with replica(nodes=nodes, drain_seconds=0.2) as first, replica(claiming=False) as elsewhere:
        run_id = await first.start(graph)
        await work.began.wait()

        async def waits() -> bool:
            return (await first.waits(run_id)) == {"m": True}

        await eventually(waits)
        await elsewhere.wake(run_id, "m", None, "e1")
        await first.replica.drain()
        work.release.set()
        async with replica(nodes=nodes) as second:
            await second.until(run_id, RunState.COMPLETED)
            assert await second.events(run_id) == {"e1": ("CONSUMED", None)}


async def test_a_node_that_never_stops_asking_does_not_hold_the_loop_of_a_stopping_replica(replica: Replicas) -> None:
    class Stubborn(TriggerNode):
        async def process(self, context: Context) -> Any:
            while True:
                try:
                    return await self.wait_for_trigger_event()
                except TriggerInactivityTimeout:
                    continue

    async with replica(nodes=[Stubborn], drain_seconds=0.2) as first:
        run_id = await first.start(chain(node("s", "Stubborn")))
        await first.until_hot(run_id, "s")
        async with asyncio.timeout(10):
            await first.replica.drain()
    async with replica(nodes=[Stubborn]) as second:
        await second.wake(run_id, "s")
        await second.until(run_id, RunState.COMPLETED)
