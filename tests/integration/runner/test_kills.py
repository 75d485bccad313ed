"""kill -9 of a real process at each of its transaction boundaries, then another replica on the same database."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.domain.runs import Disposition
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.deadly_nodes import Count, Deadly
from tests.support.runner import Runner, chain, node
from tests.support.runner_process import runner_process

NODES = Path(__file__).parents[2] / "support" / "deadly_nodes.py"
EXPIRE = "update runner.replicas set lease_expire_time = runner.stamp() - interval '1 second' where not dead"


def counting_graph(folder: Path) -> dict[str, Any]:
    return chain(
        node("c", "Constant", value=42),
        node("count", "Count", file=str(folder / "counted")),
        node("m", "Manual", inactivity_timeout_seconds=0),
        node("o", "Output"),
    )


def counted(folder: Path) -> list[str]:
    file = folder / "counted"
    return file.read_text().splitlines() if file.exists() else []


# The steps of this run: the start of `count`, its outcome with the suspension of `m`, and the end. Only a kill between
# what `count` does and the commit of its outcome makes it run twice.
BOUNDARIES = [
    ("runner.start.before_commit", 1),
    ("runner.start.after_commit", 1),
    ("runner.step.before_commit", 1),
    ("runner.step.after_commit", 1),
    ("runner.step.before_commit@2", 2),
    ("runner.step.after_commit@2", 1),
    ("runner.step.before_commit@3", 1),
    ("runner.step.after_commit@3", 1),
]


@pytest.mark.parametrize(("failpoint", "times"), BOUNDARIES)
async def test_a_kill_at_a_transaction_boundary_loses_nothing_and_repeats_nothing_that_was_committed(
    replica: Replicas, runner_dsn: str, tmp_path: Path, failpoint: str, times: int
) -> None:
    graph = counting_graph(tmp_path)
    async with replica(claiming=False, nodes=[Count]) as outside:
        async with runner_process(runner_dsn, tmp_path, NODES, failpoint) as process:
            started = await process.ask(start=graph, request_id="r1")
            if started is not None and "@3" in failpoint:
                await outside.until(started["run_id"], RunState.SUSPENDED)
                await process.ask(wake=started["run_id"], node="m", event_id="e1")
            assert await process.died() == -signal.SIGKILL
        await outside.rows(EXPIRE)
    async with replica(nodes=[Count]) as restarted:
        run_id = await restarted.start(graph, request_id="r1")
        assert started is None or started["run_id"] == run_id
        assert len(await restarted.rows("select from runner.runs")) == 1, "exactly one run"
        if await restarted.events(run_id) == {}:
            await restarted.until(run_id, RunState.SUSPENDED)
        again = await restarted.wake(run_id, "m", event_id="e1")
        known = (Disposition.DUPLICATE,) if "@3" in failpoint else (Disposition.DELIVERED,)
        assert again.disposition in known
        run = await restarted.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert run.outputs["o"]["event_id"] == "e1"
        assert len(counted(tmp_path)) == times
        assert len({key.split()[1] for key in counted(tmp_path)}) == 1
        assert await restarted.count(run_id, EventType.NODE_COMPLETED, "count") == 1
        assert await restarted.count(run_id, EventType.NODE_COMPLETED, "c") == 1
        assert await restarted.events(run_id) == {"e1": ("CONSUMED", None)}


async def test_a_frozen_process_that_thaws_after_its_lease_writes_nothing(
    replica: Replicas, runner_dsn: str, tmp_path: Path
) -> None:
    async with runner_process(runner_dsn, tmp_path, NODES, "runner.step.before_commit@2:stop") as frozen:
        started = await frozen.ask(start=counting_graph(tmp_path), request_id="r1")
        assert started is not None
        run_id = started["run_id"]
        await eventually(lambda: len(counted(tmp_path)) == 1)
        await eventually(lambda: _is_stopped(frozen.process.pid))
        async with replica(nodes=[Count]) as heir:
            await heir.rows(EXPIRE + " and host = 'test-host' and pid = $1", frozen.process.pid)
            await heir.until(run_id, RunState.SUSPENDED)
            await heir.wake(run_id, "m")
            length = (await heir.until(run_id, RunState.COMPLETED)).last_seq
            os.kill(frozen.process.pid, signal.SIGCONT)
            fresh = await frozen.ask(start=counting_graph(tmp_path), request_id="r2")
            assert fresh is not None
            await heir.until(fresh["run_id"], RunState.SUSPENDED)
            assert (await heir.get(run_id)).run.last_seq == length
            assert await heir.count(run_id, EventType.NODE_COMPLETED, "count") == 1
            await heir.wake(fresh["run_id"], "m")
            await heir.until(fresh["run_id"], RunState.COMPLETED)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


async def test_a_node_that_kills_its_process_again_and_again_fails_its_run_only(
    replica: Replicas, runner_dsn: str, tmp_path: Path
) -> None:
    async with replica(claiming=False, nodes=[Deadly]) as outside:
        waiting = await outside.start(chain(node("m", "Manual")))
        deadly = await outside.start(chain(node("d", "Deadly")))
        for _ in range(3):
            async with runner_process(runner_dsn, tmp_path, NODES) as process:
                assert await process.died() == -signal.SIGKILL
            await outside.rows(EXPIRE)
        await _survives(replica, outside, deadly, waiting)


async def _survives(replica: Replicas, outside: Runner, deadly: str, waiting: str) -> None:
    async with replica(nodes=[Deadly]) as survivor:
        run = await survivor.until(deadly, RunState.FAILED)
        assert run.error is not None
        assert run.error["type"] == "ReplicaLost"
        assert await survivor.attempts(deadly, "d") == [1, 2, 3]
        await survivor.wake(waiting, "m")
        await survivor.until(waiting, RunState.COMPLETED)
        (row,) = await outside.rows("select crashes from runner.runs where state = 'COMPLETED'")
        assert row["crashes"] == 0
