"""Nodes that fail, hang, misbehave, or give out what cannot be kept."""

import asyncio
import sys
import threading
from typing import Any, ClassVar

import pytest

from runner_service.domain.history import EventType, HistoryEvent
from runner_service.domain.projection import RunState
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import Context, Node, NodeError, TriggerNode


def retried(given: dict[str, Any], attempts: int, *, backoff: float = 1, longest: float = 60) -> dict[str, Any]:
    retry = {"max_attempts": attempts, "initial_backoff_seconds": backoff, "max_backoff_seconds": longest}
    return {**given, "retry": retry}


async def lines(runner: Runner, run_id: str, event_type: EventType) -> list[HistoryEvent]:
    return [event for event in await runner.log(run_id) if event.event_type is event_type]


async def failure_of(replica: Replicas, node_class: type[Node], **properties: Any) -> dict[str, Any]:
    """The error of a run whose only node is of this class."""
    async with replica(nodes=[node_class]) as runner:
        run_id = await runner.start(chain(node("n", node_class.__name__, **properties)))
        run = await runner.until(run_id, RunState.FAILED)
        (failed,) = await lines(runner, run_id, EventType.NODE_FAILED)
        assert run.error == {**failed.payload["error"], "node_id": "n"}
        return dict(run.error)


async def test_a_failing_node_is_tried_again_after_pauses_that_double_up_to_a_bound(
    replica: Replicas, manual_clock: ManualClock
) -> None:
    times: list[float] = []

    class Flaky(Node):
        async def process(self, context: Context) -> Any:
            times.append(manual_clock.monotonic())
            if len(times) < 5:
                raise ConnectionError("not yet")
            return context.attempt

    async with replica(nodes=[Flaky], clock=manual_clock) as runner:
        graph = chain(retried(node("f", "Flaky"), 5, backoff=2, longest=6), node("o", "Output"))
        run_id = await runner.start(graph)
        for passed in range(1, 5):
            await _until_retries(runner, run_id, passed)
            await manual_clock.advance(6)
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs == {"o": 5}
        delays = [e.payload["delay_seconds"] for e in await lines(runner, run_id, EventType.NODE_RETRY_SCHEDULED)]
        assert delays == [2, 4, 6, 6]
        assert await runner.attempts(run_id, "f") == [1, 2, 3, 4, 5]


async def _until_retries(runner: Runner, run_id: str, count: int) -> None:
    async def told() -> bool:
        return await runner.count(run_id, EventType.NODE_RETRY_SCHEDULED) >= count

    await eventually(told)


async def test_a_node_that_uses_up_its_attempts_fails_its_run_with_its_traceback(replica: Replicas) -> None:
    class Doomed(Node):
        async def process(self, context: Context) -> Any:
            raise LookupError(f"attempt {context.attempt}")

    async with replica(nodes=[Doomed]) as runner:
        run_id = await runner.start(chain(retried(node("d", "Doomed"), 3, backoff=0), node("o", "Output")))
        run = await runner.until(run_id, RunState.FAILED)
        assert run.error is not None
        assert (run.error["type"], run.error["message"], run.error["node_id"]) == ("LookupError", "attempt 3", "d")
        assert 'raise LookupError(f"attempt {context.attempt}")' in run.error["traceback"]
        assert await runner.attempts(run_id, "d") == [1, 2, 3]
        assert await runner.count(run_id, EventType.NODE_RETRY_SCHEDULED) == 2


async def test_an_error_that_its_author_calls_final_is_not_tried_again(replica: Replicas) -> None:
    class Final(Node):
        async def process(self, context: Context) -> Any:
            raise NodeError("no model of that name", retryable=False)

    async with replica(nodes=[Final]) as runner:
        run_id = await runner.start(chain(retried(node("f", "Final"), 5)))
        run = await runner.until(run_id, RunState.FAILED)
        assert run.error == {"type": "NodeError", "message": "no model of that name", "traceback": "", "node_id": "f"}


async def test_a_node_that_takes_too_long_is_stopped_and_fails(replica: Replicas, manual_clock: ManualClock) -> None:
    stopped: list[bool] = []
    started = asyncio.Event()

    class Slow(Node):
        async def process(self, context: Context) -> Any:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(True)

    async with replica(nodes=[Slow], clock=manual_clock) as runner:
        run_id = await runner.start({"nodes": [{**node("s", "Slow"), "timeout_seconds": 30}], "edges": []})
        await started.wait()
        await manual_clock.advance(30)
        run = await runner.until(run_id, RunState.FAILED)
        assert run.error is not None
        assert run.error["message"] == "did not finish within 30 seconds"
        assert stopped == [True]


async def test_a_nodes_own_timeout_error_is_not_taken_for_its_time_running_out(replica: Replicas) -> None:
    class Impatient(Node):
        async def process(self, context: Context) -> Any:
            raise TimeoutError("the peer did not answer")

    async with replica(nodes=[Impatient]) as runner:
        run_id = await runner.start({"nodes": [{**node("n", "Impatient"), "timeout_seconds": 30}], "edges": []})
        run = await runner.until(run_id, RunState.FAILED)
        assert run.error is not None
        assert (run.error["type"], run.error["message"]) == ("TimeoutError", "the peer did not answer")


async def test_a_node_that_calls_exit_fails_alone(replica: Replicas) -> None:
    class Leaver(Node):
        async def process(self, context: Context) -> Any:
            sys.exit(3)

    assert (await failure_of(replica, Leaver))["type"] == "SystemExit"


async def test_a_node_that_waits_for_something_cancelled_fails_instead_of_hanging(replica: Replicas) -> None:
    class SelfCancelling(Node):
        async def process(self, context: Context) -> Any:
            task = asyncio.create_task(asyncio.sleep(60))
            task.cancel()
            await task

    assert "cancelled from within" in (await failure_of(replica, SelfCancelling))["message"]


async def test_an_error_that_cannot_even_be_told_is_told(replica: Replicas) -> None:
    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    class Odd(Node):
        async def process(self, context: Context) -> Any:
            raise Speechless

    assert (await failure_of(replica, Odd))["message"] == "Speechless"


async def test_an_error_text_that_postgres_cannot_store_is_made_storable(replica: Replicas) -> None:
    class Dirty(Node):
        async def process(self, context: Context) -> Any:
            raise ValueError("a\0b\ud800c" + "x" * 100_000)

    error = await failure_of(replica, Dirty)
    assert error["message"].startswith("a\N{REPLACEMENT CHARACTER}b?c")
    assert len(error["message"]) == 16_000


@pytest.mark.parametrize("repeatable", [False, True])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "cannot be stored as JSON"),
        (float("nan"), "cannot be stored as JSON"),
        ("x" * 1024 * 1024, "pass a URI instead"),
        ({"deep": ["a\0b"]}, "cannot be stored"),
        ("\ud800", "cannot be stored"),
    ],
)
async def test_what_cannot_be_kept_fails_its_node_and_says_why(
    replica: Replicas, value: Any, message: str, repeatable: bool
) -> None:
    quick = repeatable

    class Careless(Node):
        repeatable: ClassVar[bool] = quick

        async def process(self, context: Context) -> Any:
            return value

    assert message in (await failure_of(replica, Careless))["message"]


async def test_an_output_that_the_type_does_not_have_fails_its_node(replica: Replicas) -> None:
    class Forked(Node):
        output_names: ClassVar[tuple[str, ...]] = ("left", "right")

        async def process(self, context: Context) -> Any:
            return {"middle": 1}

    assert "left, right" in (await failure_of(replica, Forked))["message"]


@pytest.mark.parametrize("what", ["reason", "state", "size", "time"])
async def test_a_suspension_that_cannot_be_kept_fails_its_node(replica: Replicas, what: str) -> None:
    class Sleeper(Node):
        async def process(self, context: Context) -> Any:
            match what:
                case "reason":
                    await self.suspend_workflow("a\0b")
                case "state":
                    await self.suspend_workflow("r", {"x": object()})
                case "size":
                    await self.suspend_workflow("r", {"x": "y" * 64 * 1024})
                case _:
                    await self.suspend_workflow("r", wake_time=context.now().replace(tzinfo=None))

    assert (await failure_of(replica, Sleeper))["type"] == "NodeError"


async def test_a_quick_node_may_suspend_as_well(replica: Replicas) -> None:
    class Quick(Node):
        repeatable: ClassVar[bool] = True

        async def process(self, context: Context) -> Any:
            if not self.is_resuming():
                await self.suspend_workflow("ask somebody", {"asked": 1})
            return (await self.get_saved_state())["trigger_event"]["payload"]

    async with replica(nodes=[Quick]) as runner:
        run_id = await runner.start(chain(node("q", "Quick"), node("o", "Output")))
        await runner.until(run_id, RunState.SUSPENDED)
        await runner.wake(run_id, "q", "answer")
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs == {"o": "answer"}


async def test_a_blocking_function_does_not_block_other_runs(replica: Replicas) -> None:
    release, entered = threading.Event(), threading.Event()

    class Blocking(Node):
        def process(self, context: Context) -> Any:
            entered.set()
            release.wait(30)
            return "unblocked"

    async with replica(nodes=[Blocking]) as runner:
        blocked = await runner.start(chain(node("b", "Blocking"), node("o", "Output")))
        await eventually(entered.is_set)
        other = await runner.start(chain(node("c", "Constant", value=1), node("o", "Output")))
        try:
            await runner.until(other, RunState.COMPLETED)
        finally:
            release.set()
        assert (await runner.until(blocked, RunState.COMPLETED)).outputs == {"o": "unblocked"}


async def test_a_failure_ends_the_other_nodes_and_dead_letters_what_they_had_taken(replica: Replicas) -> None:
    fail = asyncio.Event()

    class Failing(Node):
        async def process(self, context: Context) -> Any:
            await fail.wait()
            raise ValueError("enough")

    class Digesting(TriggerNode):
        async def process(self, context: Context) -> Any:
            await self.wait_for_trigger_event()
            await asyncio.Event().wait()

    nodes = [
        node("f", "Failing"),
        node("d", "Digesting"),
        node("hot", "Manual"),
        node("cold", "Manual", inactivity_timeout_seconds=0),
    ]
    async with replica(nodes=[Failing, Digesting]) as runner:
        run_id = await runner.start({"nodes": nodes, "edges": []})
        await runner.until_hot(run_id, "d", "hot")
        await runner.wake(run_id, "d", None, "taken")
        await runner.until_hot(run_id, "hot")
        fail.set()
        run = await runner.until(run_id, RunState.FAILED)
        assert run.suspended_node_ids == ()
        assert await runner.events(run_id) == {"taken": ("DEAD_LETTERED", "the run has failed")}
        cancelled = {e.node_id for e in await lines(runner, run_id, EventType.NODE_CANCELLED)}
        assert cancelled == {"d", "hot", "cold"}


async def test_a_node_that_fails_while_another_suspends_leaves_no_wait_behind(replica: Replicas) -> None:
    # Both happen within one step: the wait that is written must not outlive the run that ends with it.
    class Failing(Node):
        repeatable: ClassVar[bool] = True

        async def process(self, context: Context) -> Any:
            raise ValueError("enough")

    class Sleeping(Node):
        repeatable: ClassVar[bool] = True

        async def process(self, context: Context) -> Any:
            await self.suspend_workflow("forever")

    async with replica(nodes=[Failing, Sleeping]) as runner:
        run_id = await runner.start({"nodes": [node("s", "Sleeping"), node("f", "Failing")], "edges": []})
        await runner.until(run_id, RunState.FAILED)
        assert await runner.waits(run_id) == {}


async def test_a_failed_attempt_gives_its_event_back_and_the_next_one_takes_it_again(
    replica: Replicas, manual_clock: ManualClock
) -> None:
    class Clumsy(TriggerNode):
        async def process(self, context: Context) -> Any:
            event = await self.wait_for_trigger_event()
            if context.attempt == 1:
                raise ValueError("dropped it")
            return event["payload"]

    async with replica(nodes=[Clumsy], clock=manual_clock) as runner:
        run_id = await runner.start(chain(retried(node("c", "Clumsy"), 2), node("o", "Output")))
        await runner.until_hot(run_id, "c")
        await runner.wake(run_id, "c", "catch", "e1")
        await runner.until_hot(run_id)
        assert await runner.events(run_id) == {"e1": ("PENDING", None)}
        await manual_clock.advance(1)
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs == {"o": "catch"}
        assert await runner.events(run_id) == {"e1": ("CONSUMED", None)}


async def test_what_a_node_records_while_a_step_is_committed_is_in_the_log(replica: Replicas) -> None:
    class Chatty(Node):
        async def process(self, context: Context) -> Any:
            for number in range(200):
                context.host.record("SlotMissed", {"number": number})
                await asyncio.sleep(0)
            return None

    graph = {"nodes": [node("a", "Chatty"), node("b", "Chatty"), node("m", "Manual")], "edges": []}
    async with replica(nodes=[Chatty]) as runner:
        run_id = await runner.start(graph)
        await runner.until_hot(run_id, "m")
        await runner.wake(run_id, "m")
        await runner.until(run_id, RunState.COMPLETED)
        for node_id in ("a", "b"):
            told = [
                e.payload["number"] for e in await lines(runner, run_id, EventType.SLOT_MISSED) if e.node_id == node_id
            ]
            assert told == list(range(200))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"payload": 1, "source": "wakepoint/timer"}, "the runner's own"),
        ({"payload": 1, "event_id": "x" * 501}, "at most 500 bytes"),
        ({"payload": "x" * 1024 * 1024}, "pass a URI instead"),
        ({"payload": "\0"}, "cannot be stored"),
    ],
)
async def test_an_event_that_a_node_must_not_send_fails_it(
    replica: Replicas, event: dict[str, Any], message: str
) -> None:
    class Sender(TriggerNode):
        async def process(self, context: Context) -> Any:
            await self.send_trigger_event(event)

    assert message in (await failure_of(replica, Sender))["message"]
