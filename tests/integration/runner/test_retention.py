"""What is finished and old is removed with all that belongs to it; what is not final never is."""

import asyncio
import json
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from runner_service.domain.projection import RunState
from runner_service.domain.runs import Disposition
from runner_service.usecases.cancel_run import cancel_run
from runner_service.usecases.retain import Ages, retain
from runner_service.worker.archive import Archive
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.runner import Runner, chain, node
from tests.support.runner_process import runner_process
from wakepoint.chassis.errors import Unavailable
from wakepoint.chassis.ids import new_id

AGES = Ages(runs=timedelta(days=90), jobs=timedelta(days=8), events=timedelta(days=30))
WAITING = chain(node("m", "Manual"), node("o", "Output"))
ENDLESS = chain(node("m", "Manual", max_events=0), node("o", "Output"))
FAILING = chain(node("bad", "Expression", expression="inputs.nothing"))
TABLES = ("runs", "run_events", "inbox", "waits", "jobs", "start_requests", "wake_choices")


async def no_pause() -> None:
    await asyncio.sleep(0)


async def later(runner: Runner, days: float) -> None:
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", timedelta(days=days))


async def kept(runner: Runner) -> set[str]:
    return {str(row["run_id"]) for row in await runner.rows("select run_id from runner.runs")}


async def rows_of(runner: Runner, run_id: str) -> dict[str, int]:
    found = {}
    for table in TABLES:
        (row,) = await runner.rows(f"select count(*) as n from runner.{table} where run_id = $1", UUID(run_id))
        found[table] = row["n"]
    return found


async def some_runs(replica: Replicas) -> dict[RunState, str]:
    """A run in each state that lasts; nobody executes them any more."""
    async with replica(max_hot_waits=0) as runner:
        runs = {
            RunState.COMPLETED: await runner.start(WAITING, request_id="r1"),
            RunState.CANCELLED: await runner.start(WAITING),
            RunState.SUSPENDED: await runner.start(WAITING),
            RunState.FAILED: await runner.start(FAILING),
        }
        await runner.wake(runs[RunState.COMPLETED], "m", 1, "e1")
        await cancel_run(runner.database, runner.hub, runs[RunState.CANCELLED], "enough", None)
        for state, run_id in runs.items():
            await runner.until(run_id, state)
    async with replica(claiming=False) as outside:
        runs[RunState.QUEUED] = await outside.start(WAITING)
    return runs


async def test_finished_runs_go_with_all_that_belongs_to_them_and_no_others(replica: Replicas) -> None:
    runs = await some_runs(replica)
    async with replica(claiming=False) as outside:
        await outside.rows(
            "insert into runner.wake_choices (experiment_id, workflow_id, node_id, source, event_id, run_id) "
            "values ('e1', 'w1', 'm', 's', 'e', $1)",
            UUID(runs[RunState.COMPLETED]),
        )
        before = await rows_of(outside, runs[RunState.COMPLETED])
        assert {table for table, count in before.items() if count} == set(TABLES) - {"waits", "jobs"}
        await later(outside, 89)
        await retain(outside.database, AGES, no_pause)
        assert await kept(outside) == set(runs.values())
        await later(outside, 91)
        await retain(outside.database, AGES, no_pause)
        assert await kept(outside) == {runs[RunState.SUSPENDED], runs[RunState.QUEUED]}
        assert set((await rows_of(outside, runs[RunState.COMPLETED])).values()) == {0}
        assert (await outside.wake(runs[RunState.COMPLETED], "m")).disposition is Disposition.NO_SUCH_RUN
        assert (await outside.wake(runs[RunState.SUSPENDED], "m")).disposition is Disposition.DELIVERED


async def test_several_replicas_remove_each_run_once_without_waiting_for_each_other(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        runs = [await outside.start(WAITING) for _ in range(40)]
        for run_id in runs:
            await cancel_run(outside.database, outside.hub, run_id, "enough", None)
        await later(outside, 91)
        archived: list[str] = []

        async def archive(batch: Any) -> None:
            archived.extend(run["run"]["run_id"] for run in batch)

        async with outside.database.transaction() as somebody:
            await somebody.execute("select from runner.runs where run_id = $1 for no key update", UUID(runs[0]))
            async with asyncio.timeout(10):
                await asyncio.gather(*(retain(outside.database, AGES, no_pause, archive, batch=7) for _ in range(3)))
        assert await kept(outside) == {runs[0]}
        assert sorted(archived) == sorted(runs[1:])
        await retain(outside.database, AGES, no_pause)
        assert await kept(outside) == set()


async def test_a_run_stays_while_a_job_of_it_goes_on_or_its_files_are_kept(replica: Replicas) -> None:
    async with replica(claiming=False) as outside:
        run_id = await outside.start(WAITING)
        await cancel_run(outside.database, outside.hub, run_id, "enough", None)
        await outside.rows(
            "insert into runner.jobs (job_id, run_id, node_id, activation, experiment_id, job_type, job_name, backend, "
            "spec, state, host) values ($1, $2, 'j', '0', 'e1', 'TRAIN', 'j', 'subprocess', '{}', 'STOPPING', 'gone')",
            UUID(new_id()), UUID(run_id),
        )  # fmt: skip
        await later(outside, 100)
        await retain(outside.database, AGES, no_pause)
        assert await kept(outside) == {run_id}
        await outside.rows("update runner.jobs set state = 'FINISHED', end_time = runner.stamp()")
        await later(outside, 107)
        await retain(outside.database, AGES, no_pause)
        assert await kept(outside) == {run_id}
        await later(outside, 109)
        await retain(outside.database, AGES, no_pause)
        assert await kept(outside) == set()


async def test_an_archive_has_every_removed_run_whole(replica: Replicas, tmp_path: Path) -> None:
    runs = await some_runs(replica)
    folder = tmp_path / "deep" / "archive"
    async with replica(claiming=False) as outside:
        expected = {run_id: [e.seq for e in await outside.log(run_id)] for run_id in runs.values()}
        await later(outside, 91)
        await retain(outside.database, AGES, no_pause, Archive(folder).keep, batch=2)
    lines = [json.loads(line) for path in sorted(folder.glob("runs-*.jsonl")) for line in path.read_text().splitlines()]
    assert not list(folder.glob("*.part"))
    by_id = {line["run"]["run_id"]: line for line in lines}
    assert set(by_id) == {runs[state] for state in (RunState.COMPLETED, RunState.CANCELLED, RunState.FAILED)}
    for run_id, line in by_id.items():
        assert [event["seq"] for event in line["events"]] == expected[run_id]
        assert {n["id"] for n in line["graph"]["nodes"]} in ({"m", "o"}, {"bad"})
    (event,) = by_id[runs[RunState.COMPLETED]]["inbox"]
    assert (event["event_id"], event["state"], event["event"]["payload"]) == ("e1", "CONSUMED", 1)


async def test_what_cannot_be_archived_stays(replica: Replicas, tmp_path: Path) -> None:
    runs = await some_runs(replica)
    (tmp_path / "file").write_text("")
    async with replica(claiming=False) as outside:
        await later(outside, 91)
        with pytest.raises(Unavailable, match=r"archive .*file cannot be written"):
            await retain(outside.database, AGES, no_pause, Archive(tmp_path / "file").keep)
        assert await kept(outside) == set(runs.values())


async def test_settled_events_of_a_compacted_run_go_once_no_repetition_is_expected_any_more(replica: Replicas) -> None:
    async with replica(compact_after_activations=2, max_hot_waits=0) as runner:
        run_id, young = await runner.start(ENDLESS), await runner.start(ENDLESS)
        for number in range(10):
            await runner.wake(run_id, "m", number, f"e{number}")
            await eventually(partial(settled, runner, run_id, number + 1))
        await runner.wake(young, "m", 0, "y")
        for waiting in (run_id, young):
            await runner.until(waiting, RunState.SUSPENDED)
    async with replica(claiming=False) as outside:
        await later(outside, 29)
        await retain(outside.database, AGES, no_pause)
        assert len(await outside.events(run_id)) == 10
        await outside.wake(run_id, "m", "new", "new")
        await later(outside, 31)
        await retain(outside.database, AGES, no_pause)
        left = await outside.events(run_id)
        # Those of activations that the log still has stay; what is pending stays in any case.
        assert "e0" not in left
        assert left["new"] == ("PENDING", None)
        assert 2 <= len(left) <= 5
        assert list(await outside.events(young)) == ["y"]
        (row,) = await outside.rows(
            "select events_removed, last_inbox_seq from runner.runs where run_id = $1", UUID(run_id)
        )
        assert row["events_removed"] + len(left) == row["last_inbox_seq"] == 11
        assert (await outside.wake(run_id, "m", 0, next(iter(left)))).disposition is Disposition.DUPLICATE
    async with replica(compact_after_activations=2) as runner:
        await eventually(lambda: settled(runner, run_id, len(left)))


async def settled(runner: Runner, run_id: str, count: int) -> bool:
    return [state for state, _ in (await runner.events(run_id)).values()] == ["CONSUMED"] * count


async def test_replicas_that_are_long_dead_are_forgotten(replica: Replicas) -> None:
    async with replica() as gone:
        pass
    async with replica() as alive:
        await alive.rows(
            "update runner.replicas set lease_expire_time = runner.stamp() - interval '2 days' where replica_id = $1",
            UUID(gone.replica_id),
        )
        await retain(alive.database, AGES, no_pause)
        left = [str(row["replica_id"]) for row in await alive.rows("select replica_id from runner.replicas")]
        assert left == [alive.replica_id]


async def test_a_replica_killed_between_archiving_and_removing_loses_nothing(
    replica: Replicas, runner_dsn: str, tmp_path: Path
) -> None:
    nodes, folder = tmp_path / "nodes.py", tmp_path / "archive"
    nodes.write_text("")
    async with replica(claiming=False) as outside:
        run_id = await outside.start(WAITING)
        await cancel_run(outside.database, outside.hub, run_id, "enough", None)
        await later(outside, 91)
        options = {"archive_dir": str(folder), "retention_seconds": 1}
        async with runner_process(runner_dsn, tmp_path, nodes, "runner.retention.archived", **options) as process:
            assert await process.died() == -signal.SIGKILL
        assert await kept(outside) == {run_id}
        await eventually(partial(removed, outside, Archive(folder)))
    archived = [json.loads(path.read_text())["run"]["run_id"] for path in folder.glob("runs-*.jsonl")]
    assert archived == [run_id, run_id]


async def removed(runner: Runner, archive: Archive) -> bool:
    # The dead process's locks go with its connection, a moment after it.
    await retain(runner.database, AGES, no_pause, archive.keep)
    return await kept(runner) == set()
