"""What becomes of wake-ups, one by one and all at once."""

import asyncio
from datetime import UTC, datetime

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.domain.runs import Disposition
from runner_service.domain.trigger_events import MAX_EVENT_BYTES, TriggerEvent
from runner_service.usecases.cancel_run import cancel_run
from runner_service.usecases.deliver_events import WakeResult
from runner_service.usecases.wake_up import WakeUpRequest, wake_up
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.ids import new_id

MANUAL = chain(node("m", "Manual", inactivity_timeout_seconds=0), node("o", "Output"))


async def wake_by_workflow(runner: Runner, event_id: str, workflow_id: str = "w1") -> WakeResult:
    event = TriggerEvent(event_id, "test", "test", None, SystemClock().now())
    return await wake_up(runner.database, runner.hub, WakeUpRequest("m", event, workflow_id=workflow_id))


async def test_a_wake_up_before_the_run_was_ever_claimed_is_kept_for_its_wait(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        run_id = await outside.start(MANUAL)
        assert (await outside.wake(run_id, "m", "early", "e1")).disposition is Disposition.BUFFERED
    async with replica() as runner:
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert run.outputs["o"]["payload"] == "early"
        assert await runner.events(run_id) == {"e1": ("CONSUMED", None)}
        assert await runner.count(run_id, EventType.RUN_SUSPENDED) == 0


async def test_sixty_four_wake_ups_with_one_event_id_resume_once(replica: Replicas) -> None:
    async with replica() as runner:
        run_id = await runner.start(MANUAL)
        await runner.until(run_id, RunState.SUSPENDED)
        results = await asyncio.gather(*(runner.wake(run_id, "m", n, "same") for n in range(64)))
        dispositions = [result.disposition for result in results]
        assert dispositions.count(Disposition.DELIVERED) == 1
        assert dispositions.count(Disposition.DUPLICATE) == 63
        first = next(n for n, result in enumerate(results) if result.disposition is Disposition.DELIVERED)
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert run.outputs["o"]["payload"] == first, "the first payload is kept"
        assert await runner.count(run_id, EventType.RUN_RESUMED) == 1


async def test_concurrent_distinct_wake_ups_resume_once_and_are_taken_in_order(replica: Replicas) -> None:
    graph = chain(node("m", "Manual", inactivity_timeout_seconds=0, max_events=0), node("o", "Output"))
    async with replica() as runner:
        run_id = await runner.start(graph)
        await runner.until(run_id, RunState.SUSPENDED)
        results = await asyncio.gather(*(runner.wake(run_id, "m", n, f"e{n}") for n in range(64)))
        assert all(result.disposition.success for result in results)

        async def all_consumed() -> bool:
            return all(state == "CONSUMED" for state, _ in (await runner.events(run_id)).values())

        await eventually(all_consumed)
        await runner.until(run_id, RunState.SUSPENDED)
        by_seq = sorted(range(64), key=lambda n: results[n].inbox_seq)
        log = await runner.log(run_id)
        taken = [
            e.payload["outputs"]["output"]["payload"]
            for e in log
            if e.event_type is EventType.NODE_COMPLETED and e.node_id == "m"
        ]
        assert taken == by_seq
        assert [e.activation for e in log if e.event_type is EventType.NODE_COMPLETED and e.node_id == "o"] == [
            str(n) for n in range(1, 65)
        ]


async def test_a_run_that_takes_one_event_leaves_the_others_dead_lettered(replica: Replicas) -> None:
    async with replica() as runner:
        run_id = await runner.start(MANUAL)
        await runner.until(run_id, RunState.SUSPENDED)
        results = await asyncio.gather(*(runner.wake(run_id, "m", n, f"e{n}") for n in range(8)))
        await runner.until(run_id, RunState.COMPLETED)
        accepted = [r for r in results if r.disposition is not Disposition.FINISHED]
        states = await runner.events(run_id)
        assert len(states) == len(accepted)
        assert sorted(state for state, _ in states.values()) == ["CONSUMED"] + ["DEAD_LETTERED"] * (len(accepted) - 1)
        assert await runner.count(run_id, EventType.TRIGGER_EVENT_DEAD_LETTERED) == len(accepted) - 1


async def test_a_finished_run_says_so_but_still_knows_its_events(replica: Replicas) -> None:
    async with replica() as runner:
        run_id = await runner.start(MANUAL)
        await runner.wake(run_id, "m", None, "e1")
        await runner.until(run_id, RunState.COMPLETED)
        assert (await runner.wake(run_id, "m", None, "e1")).disposition is Disposition.DUPLICATE
        assert (await runner.wake(run_id, "m", None, "e2")).disposition is Disposition.FINISHED
        assert (await runner.wake(run_id, "o", None, "e3")).disposition is Disposition.FINISHED


async def test_a_cancelled_run_takes_no_wake_up_and_dead_letters_what_it_had(replica: Replicas) -> None:
    async with replica(claiming=False) as runner:
        run_id = await runner.start(MANUAL)
        await runner.wake(run_id, "m", None, "e1")
        await cancel_run(runner.database, runner.hub, run_id, "enough", None)
        assert (await runner.wake(run_id, "m", None, "e2")).disposition is Disposition.FINISHED
        assert await runner.events(run_id) == {"e1": ("DEAD_LETTERED", "the run was cancelled")}


async def test_unknown_runs_and_nodes_are_dispositions(replica: Replicas) -> None:
    async with replica(claiming=False) as runner:
        run_id = await runner.start(MANUAL)
        for unknown in (new_id(), "no-id-at-all"):
            assert (await runner.wake(unknown, "m")).disposition is Disposition.NO_SUCH_RUN
        result = await runner.wake(run_id, "ghost")
        assert result.disposition is Disposition.NO_SUCH_NODE
        assert "ghost" in result.message
        assert not result.disposition.success


async def test_a_node_that_has_had_its_events_is_finished_while_its_run_goes_on(replica: Replicas) -> None:
    graph = {"nodes": [node("a", "Manual"), node("b", "Manual")], "edges": []}
    async with replica() as runner:
        run_id = await runner.start(graph)
        await runner.until_hot(run_id, "a", "b")
        assert (await runner.wake(run_id, "a")).disposition is Disposition.DELIVERED
        await runner.until_hot(run_id, "b")
        assert (await runner.wake(run_id, "a")).disposition is Disposition.FINISHED
        await runner.wake(run_id, "b")
        await runner.until(run_id, RunState.COMPLETED)


async def test_a_trigger_behind_a_branch_not_taken_is_finished_and_its_events_are_dead_lettered(
    replica: Replicas,
) -> None:
    nodes = [node("x", "Branch", condition="false"), node("skipped", "Manual"), node("open", "Manual")]
    edges = [{"source": "x", "source_output": "true", "target": "skipped"}]
    async with replica(claiming=False) as outside:
        run_id = await outside.start({"nodes": nodes, "edges": edges})
        assert (await outside.wake(run_id, "skipped", None, "e1")).disposition is Disposition.BUFFERED
    async with replica() as runner:
        await runner.until_hot(run_id, "open")
        assert (await runner.events(run_id))["e1"][0] == "DEAD_LETTERED"
        assert (await runner.wake(run_id, "skipped", None, "e2")).disposition is Disposition.FINISHED
        await runner.wake(run_id, "open")
        await runner.until(run_id, RunState.COMPLETED)


async def test_a_second_event_for_a_node_about_to_wake_is_buffered(replica: Replicas) -> None:
    async with replica() as runner:
        run_id = await runner.start(MANUAL)
        await runner.until(run_id, RunState.SUSPENDED)
    async with replica(claiming=False) as outside:
        assert (await outside.wake(run_id, "m")).disposition is Disposition.DELIVERED
        assert (await outside.wake(run_id, "m")).disposition is Disposition.BUFFERED


async def test_an_event_that_comes_too_late_is_expired_and_not_kept(replica: Replicas) -> None:
    async with replica(claiming=False) as runner:
        run_id = await runner.start(MANUAL)
        past = datetime(2001, 1, 1, tzinfo=UTC)
        event = TriggerEvent("e1", "test", "test", None, past, expire_time=past)
        result = await wake_up(runner.database, runner.hub, WakeUpRequest("m", event, run_id=run_id))
        assert result.disposition is Disposition.EXPIRED
        assert await runner.events(run_id) == {}


async def test_an_event_over_the_size_limit_is_a_disposition(replica: Replicas) -> None:
    async with replica(claiming=False) as runner:
        run_id = await runner.start(MANUAL)
        result = await runner.wake(run_id, "m", "x" * MAX_EVENT_BYTES)
        assert result.disposition is Disposition.TOO_LARGE
        assert await runner.events(run_id) == {}


async def test_a_workflow_with_one_unfinished_run_is_woken_and_a_retry_never_wakes_another(replica: Replicas) -> None:
    async with replica(claiming=False) as runner:
        assert (await wake_by_workflow(runner, "e0")).disposition is Disposition.NO_SUCH_RUN
        first = await runner.start(MANUAL)
        result = await wake_by_workflow(runner, "e1")
        assert (result.disposition, result.run_id) == (Disposition.BUFFERED, first)
        await cancel_run(runner.database, runner.hub, first, "", None)
        await runner.start(MANUAL)
        again = await wake_by_workflow(runner, "e1")
        assert (again.disposition, again.run_id) == (Disposition.DUPLICATE, first)


async def test_a_workflow_with_several_unfinished_runs_is_ambiguous_and_nothing_is_delivered(replica: Replicas) -> None:
    async with replica(claiming=False) as runner:
        run_ids = [await runner.start(MANUAL) for _ in range(2)]
        result = await wake_by_workflow(runner, "e1")
        assert result.disposition is Disposition.AMBIGUOUS
        assert all(run_id in result.message for run_id in run_ids)
        assert [await runner.events(run_id) for run_id in run_ids] == [{}, {}]
