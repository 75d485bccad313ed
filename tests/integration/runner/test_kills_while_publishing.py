"""kill -9 of a real process while it publishes and while it fans out, then another replica on the same database."""

import signal
from pathlib import Path

import pytest

from runner_service.domain.projection import RunState
from tests.integration.runner.conftest import Replicas
from tests.integration.runner.test_kills import EXPIRE, NODES
from tests.support.deadly_nodes import Count
from tests.support.runner import chain, node
from tests.support.runner_process import runner_process

WAITING = chain(node("t", "Topic", topic="t", inactivity_timeout_seconds=0), node("o", "Output"))
PUBLISHING = chain(node("p", "PublishEvent", topic="t", payload="hello"), node("o", "Output"))
BOUNDARIES = [
    "runner.publish.before_commit",
    "runner.publish.after_commit",
    "runner.fan_out.before_commit",
    "runner.fan_out.after_commit",
]


@pytest.mark.parametrize("failpoint", BOUNDARIES)
async def test_a_kill_while_an_event_is_on_its_way_loses_nothing_and_doubles_nothing(
    replica: Replicas, runner_dsn: str, tmp_path: Path, failpoint: str
) -> None:
    async with replica(nodes=[Count]) as first:
        waiting = [await first.start(WAITING) for _ in range(3)]
        for run_id in waiting:
            await first.until(run_id, RunState.SUSPENDED)
    async with runner_process(runner_dsn, tmp_path, NODES, failpoint) as process:
        await process.ask(start=PUBLISHING, request_id="r1")
        assert await process.died() == -signal.SIGKILL
    async with replica(claiming=False) as outside:
        await outside.rows(EXPIRE)
    async with replica(nodes=[Count]) as restarted:
        publisher = await restarted.start(PUBLISHING, request_id="r1")
        run = await restarted.until(publisher, RunState.COMPLETED, seconds=20)
        assert run.outputs == {"o": {"topic": "t", "event_id": f"{publisher}:p:0", "woken_count": 3}}
        for run_id in waiting:
            done = await restarted.until(run_id, RunState.COMPLETED)
            assert done.outputs is not None
            assert done.outputs["o"]["payload"] == "hello"
            assert await restarted.events(run_id) == {f"{publisher}:p:0": ("CONSUMED", None)}
        assert len(await restarted.rows("select from runner.publications")) == 1
        assert await restarted.rows("select from runner.fan_out") == []
