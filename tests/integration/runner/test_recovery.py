"""Replicas that die, freeze, or lose the database, and what becomes of their runs."""

import asyncio
import time
from typing import Any
from uuid import UUID

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.usecases.claim_runs import claim_runs
from runner_service.usecases.take_over_runs import take_over_runs
from tests.integration.runner.conftest import Replicas
from tests.integration.runner.moves import Moves
from tests.support.conditions import eventually
from tests.support.proxy import proxied
from tests.support.runner import Runner, chain, edge, node, runner_on
from tests.support.runner_checks import check_runs
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.database import Database
from wakepoint.nodes import Context, Node, TriggerNode

MANUAL = chain(node("m", "Manual"), node("o", "Output"))
LONG = 60.0


class Gate:
    """What a node waits at, and who came there."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.keys: list[str] = []

    async def pass_through(self, context: Context) -> None:
        self.keys.append(context.idempotency_key)
        await self.open.wait()

    @property
    def arrivals(self) -> int:
        return len(self.keys)


def working(gate: Gate) -> type[Node]:
    class Working(Node):
        async def process(self, context: Context) -> Any:
            await gate.pass_through(context)
            return context.attempt

    return Working


async def test_a_wait_in_memory_survives_a_crash_with_its_attempt_unchanged(replica: Replicas) -> None:
    async with replica() as first:
        run_id = await first.start(MANUAL)
        await first.until_hot(run_id, "m")
        await first.crash_and_expire()
    async with replica() as second:

        async def held_again() -> bool:
            return second.replica.worker.held == 1 and await second.count(run_id, EventType.NODE_STARTED, "m") == 2

        await eventually(held_again)
        await second.wake(run_id, "m", "go")
        run = await second.until(run_id, RunState.COMPLETED)
        assert await second.attempts(run_id, "m") == [1, 1]
        assert (run.outputs or {})["o"]["payload"] == "go"
        (row,) = await second.rows("select crashes from runner.runs")
        assert row["crashes"] == 0


async def test_an_executing_node_runs_again_and_what_was_completed_does_not(replica: Replicas) -> None:
    gate = Gate()
    counted: list[int] = []

    class Counting(Node):
        async def process(self, context: Context) -> Any:
            counted.append(context.attempt)
            return 1

    nodes = [working(gate), Counting]
    async with replica(nodes=nodes) as first:
        run_id = await first.start(chain(node("c", "Counting"), node("w", "Working"), node("o", "Output")))
        await eventually(lambda: gate.arrivals == 1)
        await first.crash_and_expire()
    gate.open.set()
    async with replica(nodes=nodes) as second:
        run = await second.until(run_id, RunState.COMPLETED)
        assert run.outputs == {"o": 2}
        assert counted == [1]
        assert await second.attempts(run_id, "w") == [1, 2]
        assert gate.keys == [f"{run_id}:w:0"] * 2, "the key is the same over attempts"


async def test_an_event_that_was_taken_and_not_used_up_is_taken_again_after_a_crash(replica: Replicas) -> None:
    gate = Gate()

    class Digesting(TriggerNode):
        async def process(self, context: Context) -> Any:
            event = await self.wait_for_trigger_event()
            await gate.pass_through(context)
            return event["payload"]

    cold = node("d", "Digesting", inactivity_timeout_seconds=0)
    async with replica(nodes=[Digesting]) as first:
        run_id = await first.start(chain(cold, node("o", "Output")))
        await first.until(run_id, RunState.SUSPENDED)
        await first.wake(run_id, "d", "bite", "e1")
        await eventually(lambda: gate.arrivals == 1)
        await first.until_hot(run_id)
        await first.crash_and_expire()
        assert await first.events(run_id) == {"e1": ("PENDING", None)}
    gate.open.set()
    async with replica(nodes=[Digesting]) as second:
        assert (await second.until(run_id, RunState.COMPLETED)).outputs == {"o": "bite"}
        assert await second.events(run_id) == {"e1": ("CONSUMED", None)}


async def test_a_replica_that_froze_and_comes_back_writes_nothing_more(replica: Replicas) -> None:
    gate, later = Gate(), Gate()
    async with replica(nodes=[working(gate)], heartbeat_seconds=LONG) as zombie:
        run_id = await zombie.start(chain(node("w", "Working"), node("o", "Output")))
        await eventually(lambda: gate.arrivals == 1)
        await zombie.rows("update runner.replicas set lease_expire_time = runner.stamp()")
        later.open.set()
        async with replica(nodes=[working(later)]) as heir:
            run = await heir.until(run_id, RunState.COMPLETED)
            length = run.last_seq
            assert run.outputs == {"o": 2}
            gate.open.set()
            await eventually(lambda: zombie.replica.worker.held == 0)
            assert (await heir.get(run_id)).run.last_seq == length
            assert len(later.keys) == 1


async def test_a_holder_whose_epoch_is_over_is_refused_although_its_heir_stands_at_the_same_step(
    replica: Replicas,
) -> None:
    async with replica(claiming=False) as outside:
        zombie = await Moves.of_running(outside, MANUAL)
        assert await outside.database.run(zombie.take_over) == "taken"
        heir = await Moves.of_claim(outside, zombie.run_id)
        for move in (zombie.work, zombie.suspend, zombie.complete, zombie.hand_back):
            assert await outside.database.run(move) == "refused"
        assert await outside.database.run(heir.work) == "committed"


async def test_a_replica_that_was_declared_dead_goes_on_under_a_new_name(replica: Replicas) -> None:
    async with replica(heartbeat_seconds=0.1) as runner:
        before = runner.replica_id
        hot = await runner.start(MANUAL)
        await runner.until_hot(hot, "m")
        await runner.rows("update runner.replicas set dead = true")
        await eventually(lambda: runner.replica_id != before)
        await runner.wake(hot, "m")
        fresh = await runner.start(chain(node("c", "Constant")))
        for run_id in (hot, fresh):
            await runner.until(run_id, RunState.COMPLETED)
        assert await runner.count(hot, EventType.LEASE_TAKEN) == 1


async def test_a_replica_whose_new_name_cannot_be_entered_tries_again(runner_dsn: str, tmp_path: Any) -> None:
    async with proxied(runner_dsn) as proxy:
        database = await Database.open(proxy.dsn, application_name="test")
        async with runner_on(database, runner_dsn, tmp_path, heartbeat_seconds=0.1) as runner:
            before = runner.replica_id
            proxy.cut()
            direct = await Database.open(runner_dsn, application_name="test")
            async with direct.connection() as connection:
                await connection.execute("update runner.replicas set dead = true")
            await direct.close()
            await eventually(lambda: not runner.replica.worker._lease.valid())
            await asyncio.sleep(0.3)  # attempts that must fail
            proxy.mend()
            await eventually(lambda: runner.replica_id != before and runner.replica.worker._lease.valid(), 20)
            run_id = await runner.start(chain(node("c", "Constant")))
            await runner.until(run_id, RunState.COMPLETED, seconds=20)
        await check_runs(database)
        await database.close()


async def test_a_dead_replicas_runs_go_on_within_its_lease_and_a_sweep(replica: Replicas) -> None:
    gate = Gate()
    nodes = [working(gate)]
    async with replica(nodes=nodes, lease_seconds=3, heartbeat_seconds=0.5) as first, replica(nodes=nodes) as second:
        await second.crash()  # only while the first one claims
        busy = await first.start(chain(node("w", "Working")))
        hot = await first.start(MANUAL)
        await eventually(lambda: gate.arrivals == 1)
        await first.until_hot(hot, "m")
        await first.crash()
        died = time.monotonic()
        gate.open.set()
        async with replica(nodes=nodes) as heir:
            await heir.wake(hot, "m")
            for run_id in (busy, hot):
                await heir.until(run_id, RunState.COMPLETED)
            assert time.monotonic() - died < 3 + 1 + 5, "lease, sweep, and the work itself on a busy machine"


async def test_a_run_that_takes_its_replicas_down_fails_and_its_neighbours_do_not(replica: Replicas) -> None:
    # The neighbour executes when the first two replicas die; on its last chance it is executed alone.
    poison, neighbour, last = Gate(), Gate(), Gate()

    class Poison(Node):
        async def process(self, context: Context) -> Any:
            await poison.pass_through(context)

    class Neighbour(Node):
        async def process(self, context: Context) -> Any:
            await (neighbour if context.attempt < 3 else last).pass_through(context)
            return context.attempt

    nodes = [Poison, Neighbour]
    async with replica(nodes=nodes) as first:
        innocent = await first.start(chain(node("n", "Neighbour"), node("o", "Output")))
        deadly = await first.start(chain(node("p", "Poison")), source={"firing_id": "f1"})
        waiting = await first.start(MANUAL)
        await eventually(lambda: poison.arrivals == neighbour.arrivals == 1)
        await first.until_hot(waiting, "m")
        await first.crash_and_expire()
    async with replica(nodes=nodes) as second:
        await eventually(lambda: poison.arrivals == neighbour.arrivals == 2)
        await second.until_hot(waiting, "m")
        await second.crash_and_expire()
    async with replica(nodes=nodes) as third:
        await eventually(lambda: poison.arrivals + last.arrivals == 3)
        executing = await third.rows("select from runner.runs where state = 'RUNNING' and busy")
        assert len(executing) == 1, "either of them is alone"
        alone = await third.start(chain(node("c", "Constant")))
        assert third.replica.worker._room() == 0, "nothing begins beside a run on its last chance"
        last.open.set()
        await eventually(lambda: poison.arrivals == 3)
        await third.crash_and_expire()
    async with replica(nodes=nodes) as fourth:
        run = await fourth.until(deadly, RunState.FAILED)
        assert run.error is not None
        assert run.error["type"] == "ReplicaLost"
        assert "3 times in a row" in run.error["message"]
        assert poison.arrivals == 3
        assert (await fourth.until(innocent, RunState.COMPLETED)).outputs == {"o": 3}
        await fourth.until(alone, RunState.COMPLETED)
        await fourth.wake(waiting, "m")
        await fourth.until(waiting, RunState.COMPLETED)
        assert set(await fourth.attempts(waiting, "m")) == {1}
        await eventually(lambda: any(state["run_id"] == deadly for state in fourth.trigger.states))


async def test_a_run_that_dies_before_its_first_commit_is_counted_too(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        run_id = await outside.start(MANUAL)
        for crashes in range(1, 4):
            async with replica(claiming=False) as runner:
                await runner.replica.worker._lease.start(lambda: None)
                claims = await claim_runs(runner.database, runner.replica_id, 1, oldest=False, crashes=range(crashes))
                assert len(claims.loaded) == 1
                await runner.crash_and_expire()
            assert await take_over_runs(outside.database, outside.hub, 3) == 1
            (row,) = await outside.rows("select state, crashes from runner.runs")
            assert tuple(row) == ("FAILED" if crashes == 3 else "QUEUED", crashes)
        async with replica() as runner:
            fresh = await runner.start(MANUAL)
            await runner.until_hot(fresh, "m")
            claimed = "select busy from runner.runs where run_id = $1"
            assert [row["busy"] for row in await runner.rows(claimed, UUID(fresh))] == [False]
            await runner.wake(fresh, "m")
            await runner.until(fresh, RunState.COMPLETED)
        assert (await outside.get(run_id)).run.state is RunState.FAILED


async def test_one_unreadable_log_does_not_take_its_batch_along(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        run_ids = [await outside.start(chain(node("c", "Constant"))) for _ in range(5)]
        damaged = UUID(run_ids[2])
        damage = "update runner.run_events set event_type = $2 where run_id = $1 and seq = 2"
        await outside.rows(damage, damaged, "Nonsense")
    async with replica(max_crashes=1) as runner:
        for run_id in run_ids[:2] + run_ids[3:]:
            await runner.until(run_id, RunState.COMPLETED)

        async def failed() -> Any:
            (row,) = await runner.rows("select state, error from runner.runs where run_id = $1", damaged)
            return row["error"] if row["state"] == "FAILED" else None

        error = await eventually(failed)
        assert error["type"] == "RunFault"
        assert "Nonsense" in error["message"]
        await runner.rows(damage, damaged, "RunQueued")


async def test_a_run_that_was_claimed_and_never_loaded_is_given_up_and_that_counts_nothing(
    replica: Replicas, manual_clock: ManualClock
) -> None:
    async with replica(claiming=False) as outside:
        run_id = await outside.start(chain(node("c", "Constant")))
    async with replica(clock=manual_clock) as runner:
        await runner.until(run_id, RunState.COMPLETED)
        lost = await _claimed_by(runner)

        async def found() -> bool:
            await manual_clock.advance(1)
            return (await runner.get(lost)).run.state is RunState.COMPLETED

        await eventually(found)
        (row,) = await runner.rows("select crashes from runner.runs where run_id = $1", UUID(lost))
        assert row["crashes"] == 0


async def _claimed_by(runner: Runner) -> str:
    """A run whose claim was committed, and whose answer was lost."""
    async with runner.database.transaction() as connection:
        await connection.execute("lock table runner.runs in share row exclusive mode")
        await connection.execute(
            "insert into runner.runs (run_id, experiment_id, workflow_id, graph_hash, state, last_seq, epoch, owner_id,"
            " busy) select gen_random_uuid(), 'e1', 'w1', graph_hash, 'RUNNING', 1, 1, $1, true"
            " from runner.graphs limit 1",
            UUID(runner.replica_id),
        )
        run_id = await connection.fetchval("select run_id from runner.runs where state = 'RUNNING'")
        await connection.execute(
            "insert into runner.run_events (run_id, seq, event_type, epoch) values ($1, 1, 'RunStarted', 1)", run_id
        )
    return str(run_id)


@pytest.mark.parametrize("line", ["NodeStarted", "NodeSuspended", "NodeResumed", "RunCompleted"])
@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_commit_whose_outcome_is_unknown_is_in_the_log_once(
    runner_dsn: str, tmp_path: Any, line: str, lost: str
) -> None:
    class Plain(Node):
        async def process(self, context: Context) -> Any:
            return "done"

    graph = chain(node("p", "Plain"), node("m", "Manual", inactivity_timeout_seconds=0), node("o", "Output"))
    async with proxied(runner_dsn) as proxy:
        database = await Database.open(proxy.dsn, application_name="test")
        async with runner_on(database, runner_dsn, tmp_path, nodes=[Plain]) as runner:
            (proxy.drop_request if lost == "request" else proxy.lose_answer)(f'"{line}"'.encode())
            run_id = await runner.start(graph)
            await runner.until(run_id, RunState.SUSPENDED)
            await runner.wake(run_id, "m")
            await runner.until(run_id, RunState.COMPLETED)
            assert proxy._drop is None
            assert proxy._lose is None
            types = [e.event_type.value for e in await runner.log(run_id) if e.node_id != "o"]
            assert types == [
                "RunCreated", "RunQueued", "RunStarted", "NodeStarted", "NodeCompleted", "NodeStarted", "NodeSuspended",
                "RunSuspended", "TriggerEventReceived", "RunQueued", "RunResumed", "NodeResumed", "NodeCompleted",
                "RunCompleted",
            ]  # fmt: skip
        await check_runs(database)
        await database.close()


async def test_a_back_off_begins_anew_after_a_restart(replica: Replicas, manual_clock: ManualClock) -> None:
    class Flaky(Node):
        async def process(self, context: Context) -> Any:
            if context.attempt == 1:
                raise ValueError("not yet")
            return context.attempt

    retry = {"max_attempts": 2, "initial_backoff_seconds": 50}
    graph = chain({**node("f", "Flaky"), "retry": retry}, node("o", "Output"))
    async with replica(nodes=[Flaky], clock=manual_clock) as first:
        run_id = await first.start(graph)

        async def failed_once() -> bool:
            return bool(await first.count(run_id, EventType.NODE_RETRY_SCHEDULED))

        await eventually(failed_once)
        await first.crash_and_expire()
    async with replica(nodes=[Flaky], clock=manual_clock) as second:
        await manual_clock.advance(2)
        await eventually(lambda: second.replica.worker.held == 1)
        await manual_clock.settle()
        assert await second.attempts(run_id, "f") == [1]
        await manual_clock.advance(50)
        assert (await second.until(run_id, RunState.COMPLETED)).outputs == {"o": 2}


async def test_nodes_side_by_side_survive_a_crash_each_on_its_own(replica: Replicas) -> None:
    gate = Gate()
    graph = {
        "nodes": [node("w", "Working"), node("m", "Manual"), node("s", "Manual", inactivity_timeout_seconds=0)],
        "edges": [],
    }
    async with replica(nodes=[working(gate)]) as first:
        run_id = await first.start(graph)
        await eventually(lambda: gate.arrivals == 1)
        await first.until_hot(run_id, "m")
        await first.crash_and_expire()
    gate.open.set()
    async with replica(nodes=[working(gate)]) as second:
        await eventually(lambda: gate.arrivals == 2)
        await second.until_hot(run_id, "m")
        assert (await second.waits(run_id))["s"], "what was suspended still is"
        await second.wake(run_id, "m")
        await second.wake(run_id, "s")
        await second.until(run_id, RunState.COMPLETED)
        attempts = {node_id: await second.attempts(run_id, node_id) for node_id in ("w", "m", "s")}
        assert attempts == {"w": [1, 2], "m": [1, 1], "s": [1, 1]}


async def test_a_diamond_that_was_cut_in_the_middle_joins_once(replica: Replicas) -> None:
    gate = Gate()
    graph = {
        "nodes": [node("a", "Constant", value=1), node("left", "Working"), node("right", "Constant", value=2),
                  node("join", "Expression", expression="inputs.l + inputs.r"), node("o", "Output")],
        "edges": [edge("a", "left"), edge("a", "right"), edge("left", "join", target_input="l"),
                  edge("right", "join", target_input="r"), edge("join", "o")],
    }  # fmt: skip
    async with replica(nodes=[working(gate)]) as first:
        run_id = await first.start(graph)
        await eventually(lambda: gate.arrivals == 1)
        await first.crash_and_expire()
    gate.open.set()
    async with replica(nodes=[working(gate)]) as second:
        assert (await second.until(run_id, RunState.COMPLETED)).outputs == {"o": 4}
        assert await second.count(run_id, EventType.NODE_COMPLETED, "join") == 1
        assert await second.count(run_id, EventType.NODE_COMPLETED, "right") == 1
