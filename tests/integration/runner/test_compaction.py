"""An endless run stays as small and as quick as it was when it was young, and a compaction is whole or not at all."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState, fold
from runner_service.domain.trigger_events import Address, TriggerEvent
from runner_service.storage import log
from runner_service.usecases.deliver_events import Wake, deliver_events
from runner_service.usecases.list_run_events import LogQuery, list_run_events
from runner_service.usecases.verify_runs import Verification, verify_runs
from runner_service.usecases.watch_run import LogWatch, watch_run
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, edge, node
from tests.support.runner_process import runner_process
from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.ids import new_id

ENDLESS = chain(
    node("m", "Manual", max_events=0), node("x", "Expression", expression="inputs.input"), node("o", "Output")
)
COMPACT_AFTER = 50
# Per activation the log has about five lines; what gathers before memory is looked through comes on top.
MOST_LINES = 6 * (COMPACT_AFTER + 64)


async def consumed(runner: Runner, run_id: str) -> int:
    (row,) = await runner.rows(
        "select count(*) as n from runner.inbox where run_id = $1 and state = 'CONSUMED'", UUID(run_id)
    )
    return int(row["n"])


async def deliver(runner: Runner, run_id: str, count: int) -> None:
    """Events for the run's trigger, in one transaction."""
    events = [TriggerEvent(new_id(), "test", "test", number, SystemClock().now()) for number in range(count)]
    await deliver_events(runner.database, runner.hub, [Wake(Address(run_id, "m"), event) for event in events])


async def send(runner: Runner, run_id: str, count: int, done_before: int) -> float:
    """Send so many events, wait until all are consumed; seconds it took."""
    begin = time.perf_counter()
    await deliver(runner, run_id, count)

    async def all_consumed() -> bool:
        return await consumed(runner, run_id) == done_before + count

    await eventually(all_consumed, 30)
    return time.perf_counter() - begin


async def bounds(runner: Runner, run_id: str) -> tuple[int, int]:
    (row,) = await runner.rows("select first_seq, last_seq from runner.runs where run_id = $1", UUID(run_id))
    return row["first_seq"], row["last_seq"]


async def findings(database: Database) -> list[Any]:
    return [finding async for batch in verify_runs(database, Verification()) for finding in batch.findings]


async def test_the_two_thousandth_activation_costs_what_the_first_ones_cost(replica: Replicas) -> None:
    async with replica(compact_after_activations=COMPACT_AFTER) as runner:
        old = await runner.start(ENDLESS)
        await runner.until_hot(old, "m")
        for block in range(15):
            await send(runner, old, 100, 100 * block)
            first, last = await bounds(runner, old)
            assert last - first < MOST_LINES
            held = runner.replica.worker._held[old].execution._held
            assert sum(len(records) for records in held.projection.nodes.values()) < 200
        assert (await bounds(runner, old))[1] > 5000
        # Side by side, in turns, so that whatever else this machine does slows both down.
        times: dict[str, list[float]] = {"old": [], "young": []}
        for block in range(5):
            young = await runner.start(ENDLESS)
            await runner.until_hot(young, "m")
            times["old"].append(await send(runner, old, 100, 1500 + 100 * block))
            times["young"].append(await send(runner, young, 100, 0))
        assert min(times["old"]) < 2 * min(times["young"])
        rows = await runner.rows(
            "select count(*) = r.last_seq - r.first_seq + 1 as whole from runner.runs r "
            "join runner.run_events using (run_id) group by r.run_id"
        )
        assert all(row["whole"] for row in rows)
        assert await findings(runner.database) == []


async def test_a_backlog_is_worked_off_in_steps_of_bounded_size_and_compacted_on_the_way(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        run_id = await outside.start(ENDLESS)
        await deliver(outside, run_id, 1000)
    async with replica(compact_after_activations=COMPACT_AFTER) as runner:
        await eventually(lambda: events_consumed(runner, run_id, 1000), 30)
        (claimed,) = await runner.rows("select step, first_seq from runner.runs where run_id = $1", UUID(run_id))
        assert claimed["step"] > 6
        assert claimed["first_seq"] > 3000


async def test_a_compacted_run_goes_on_elsewhere_where_it_stood(replica: Replicas) -> None:
    counting = chain(
        node("i", "Interval", interval_seconds=3600, max_events=0),
        node("x", "Expression", expression="inputs.input.event_id"),
        node("o", "Output"),
    )
    async with replica(compact_after_activations=2, max_hot_waits=0) as runner:
        run_id = await runner.start(counting)
        for number in range(12):
            await runner.wake(run_id, "i", number, f"e{number}")
            await eventually(partial(events_consumed, runner, run_id, number + 1))
        carried = [r.carried for _, _, r in fold(await runner.log(run_id)).records() if r.carried]
    async with replica(compact_after_activations=2) as runner:
        await runner.wake(run_id, "i", 12, "e12")
        await eventually(lambda: events_consumed(runner, run_id, 13))
        projection = fold(await runner.log(run_id))
        assert projection.first_seq > 1
        latest = projection.latest("x")
        assert latest is not None
        assert latest[1].outputs == {"output": "e12"}
        # What the trigger leaves for its next passage, and how many events it has used up, came along.
        assert carried[-1] in [r.carried for _, _, r in projection.records()]
        assert max(r.consumed for node_id, _, r in projection.records() if node_id == "i") == 13
        shown = (await runner.get(run_id)).nodes["x"].record.outputs
        assert shown == {"output": "e12"}


async def events_consumed(runner: Runner, run_id: str, count: int) -> bool:
    return await consumed(runner, run_id) == count


async def test_whoever_reads_or_follows_from_before_the_snapshot_begins_with_it(replica: Replicas) -> None:
    async with replica(compact_after_activations=5, max_hot_waits=0) as runner:
        run_id = await runner.start(ENDLESS)
        for number in range(20):
            await runner.wake(run_id, "m", number)
            await eventually(partial(events_consumed, runner, run_id, number + 1))
        await runner.until(run_id, RunState.SUSPENDED)
        first, last = await bounds(runner, run_id)
        assert first > 1
        for after in (0, 1, first - 1):
            lines, _ = await list_run_events(runner.database, LogQuery(run_id, after_seq=after), 10, "")
            assert (lines[0].seq, lines[0].event_type) == (first, EventType.RUN_SNAPSHOT)
        followed = []
        async for line in watch_run(runner.database, LogWatch(SystemClock()), run_id, 0, None):
            followed.append(line.seq)
            if line.seq == last:
                break
        assert followed == list(range(first, last + 1))


async def test_reading_a_run_while_it_is_compacted_again_and_again_never_fails(replica: Replicas) -> None:
    async with replica(compact_after_activations=1, max_hot_waits=0) as runner:
        run_id = await runner.start(ENDLESS)
        sending = asyncio.create_task(send(runner, run_id, 150, 0))
        while not sending.done():
            assert (await runner.get(run_id)).projection.input == {}
            assert await findings(runner.database) == []
        await sending


async def test_an_inner_trigger_that_never_ends_is_compacted_as_well(replica: Replicas) -> None:
    graph = {
        "nodes": [
            node("a", "Manual"),
            node("b", "Manual", max_events=0),
            node("c", "Constant", value=1),
            node("x", "Expression", expression="[inputs.a, inputs.c]"),
        ],
        "edges": [edge("a", "b"), edge("b", "x", target_input="a"), edge("c", "x", target_input="c")],
    }
    async with replica(compact_after_activations=3, max_hot_waits=0) as runner:
        run_id = await runner.start(graph)
        await runner.wake(run_id, "a", 0)
        for number in range(20):
            await runner.wake(run_id, "b", number)
            await eventually(partial(events_consumed, runner, run_id, number + 2))
    async with replica(compact_after_activations=3, max_hot_waits=0) as runner:
        await runner.wake(run_id, "b", "last")
        await eventually(lambda: events_consumed(runner, run_id, 22))
        projection = fold(await runner.log(run_id))
        assert projection.first_seq > 1
        latest = projection.latest("x")
        assert latest is not None
        assert latest[0] == "1.21"
        assert latest[1].outputs["output"][1] == 1


@pytest.mark.parametrize("place", ["before_drop", "before_commit", "after_commit"])
async def test_a_replica_killed_in_the_middle_of_a_compaction_leaves_all_or_nothing_of_it(
    replica: Replicas, runner_db: Database, runner_dsn: str, tmp_path: Path, place: str
) -> None:
    nodes = tmp_path / "nodes.py"
    nodes.write_text("")
    async with runner_process(
        runner_dsn, tmp_path, nodes, f"runner.compaction.{place}", compact_after_activations=5
    ) as process:
        started = await process.ask(start=ENDLESS, request_id="r")
        assert started is not None
        run_id = str(started["run_id"])
        sent = 0
        while await process.ask(wake=run_id, node="m", event_id=f"e{sent}"):
            sent += 1
            assert sent < 5000
        await process.died()
    async with runner_db.connection() as connection:
        lines = (await log.read_logs(connection, [run_id]))[run_id]
    assert (lines[0].event_type is EventType.RUN_SNAPSHOT) == (place == "after_commit")
    assert await findings(runner_db) == []
    async with replica(compact_after_activations=5) as runner:
        await runner.rows("update runner.replicas set lease_expire_time = runner.stamp() where not dead")
        await runner.wake(run_id, "m", "last", "last")
        await eventually(lambda: nothing_pending(runner, run_id), 30)
        assert (await bounds(runner, run_id))[0] > 1
        events = await runner.events(run_id)
        assert {state for state, _ in events.values()} == {"CONSUMED"}
        assert len(events) in (sent + 1, sent + 2)  # the last one it was told may have been accepted, and not answered


async def nothing_pending(runner: Runner, run_id: str) -> bool:
    return not await runner.rows("select from runner.inbox where run_id = $1 and state = 'PENDING'", UUID(run_id))
