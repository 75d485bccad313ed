"""`verify` finds whatever is planted, and nothing in a database that is sound, however busy."""

import asyncio
import io
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from runner_service.domain.projection import RunState
from runner_service.domain.verification import Finding, FindingKind
from runner_service.usecases.cancel_run import cancel_run
from runner_service.usecases.verify_runs import Verification, verify_runs
from runner_service.verify import CLEAN, FAULTY, IMPOSSIBLE, verify
from tests.integration.runner.conftest import Replicas
from tests.support.runner import Runner, chain, edge, node
from wakepoint.chassis.database import Database
from wakepoint.chassis.ids import new_id

ENDLESS = chain(node("m", "Manual", max_events=0), node("x", "Expression", expression="inputs.input"))
TWO_WAITS = {
    "nodes": [node("a", "Manual", inactivity_timeout_seconds=1), node("b", "Approval", inactivity_timeout_seconds=1)],
    "edges": [],
}
ROOT = Path(__file__).parents[3]


async def found(database: Database, **options: Any) -> list[Finding]:
    return [finding async for batch in verify_runs(database, Verification(**options)) for finding in batch.findings]


@pytest.fixture
async def runs(runner_db: Database, replica: Replicas) -> dict[str, str]:
    """A finished run, one that is suspended, and one that was cancelled; nobody executes them any more."""
    async with replica(max_hot_waits=0) as runner:
        finished = await runner.start(chain(node("m", "Manual"), node("o", "Output")))
        await runner.wake(finished, "m", 1, "e1")
        suspended, cancelled = await runner.start(TWO_WAITS), await runner.start(TWO_WAITS)
        await runner.until(finished, RunState.COMPLETED)
        for run_id in (suspended, cancelled):
            await runner.until(run_id, RunState.SUSPENDED)
        await runner.wake(cancelled, "a", 1, "e1")
        await cancel_run(runner.database, runner.hub, cancelled, "enough", None)
    assert await found(runner_db) == []
    return {"finished": finished, "suspended": suspended, "cancelled": cancelled}


# As the last line of its log, in SQL.
LAST = "run_id = $1 and seq = (select r.last_seq from runner.runs r where r.run_id = $1)"
A = "run_id = $1 and node_id = 'a'"
COMPLETION = "run_id = $1 and node_id = 'm' and event_type = 'NodeCompleted'"
GAPS = [
    "delete from runner.run_events where run_id = $1",
    "delete from runner.run_events where run_id = $1 and seq = 1",
    "delete from runner.run_events where run_id = $1 and seq = 3",
    f"update runner.run_events set seq = seq + 1 where {LAST}",
    "update runner.runs set last_seq = last_seq + 1 where run_id = $1",
    "update runner.runs set first_seq = 2 where run_id = $1",
]
DIFFERENCES = [
    ("finished", "update runner.runs set state = 'FAILED' where run_id = $1"),
    ("finished", "update runner.runs set attempt = 7 where run_id = $1"),
    ("finished", """update runner.runs set outputs = '{"o": 2}' where run_id = $1"""),
    ("finished", "update runner.runs set input = '7' where run_id = $1"),
    ("cancelled", "update runner.runs set error = '{}' where run_id = $1"),
    ("suspended", "update runner.runs set suspended_node_ids = '{a}' where run_id = $1"),
    ("suspended", f"""update runner.waits set state = '{{"x": 1}}' where {A}"""),
    ("suspended", f"update runner.waits set reason = 'other' where {A}"),
]
SUSPENSIONS = [
    ("suspended", f"delete from runner.waits where {A}"),
    ("suspended", "delete from runner.waits where run_id = $1"),
    ("suspended", f"update runner.waits set suspend_time = null where {A}"),
    ("suspended", f"update runner.waits set activation = '7' where {A}"),
    ("finished", "insert into runner.waits (run_id, node_id, activation, node_type) values ($1, 'm', '1', 'Manual')"),
]
VIOLATIONS = [
    *(("finished", FindingKind.LOG_GAP, statement) for statement in GAPS),
    ("finished", FindingKind.LOG_UNREADABLE, f"update runner.run_events set payload = null where {COMPLETION}"),
    *((which, FindingKind.PROJECTION_DIFFERS, statement) for which, statement in DIFFERENCES),
    *((which, FindingKind.SUSPENSION_DIFFERS, statement) for which, statement in SUSPENSIONS),
    ("suspended", FindingKind.EPOCHS_INTERLEAVED, f"update runner.run_events set epoch = 0 where {LAST}"),
    ("suspended", FindingKind.EPOCHS_INTERLEAVED, "update runner.runs set epoch = 0 where run_id = $1"),
    ("finished", FindingKind.EVENT_LOST, "delete from runner.inbox where run_id = $1"),
    ("finished", FindingKind.EVENT_LOST, "update runner.inbox set event_id = 'e2' where run_id = $1"),
    ("suspended", FindingKind.EVENT_LOST, "update runner.runs set last_inbox_seq = 3 where run_id = $1"),
    ("suspended", FindingKind.EVENT_LOST, "update runner.runs set events_removed = 1 where run_id = $1"),
    ("finished", FindingKind.EVENT_PENDING_AFTER_END, "update runner.inbox set state = 'PENDING' where run_id = $1"),
    ("cancelled", FindingKind.EVENT_PENDING_AFTER_END, "update runner.inbox set state = 'PENDING' where run_id = $1"),
    ("finished", FindingKind.EVENT_CONSUMED_TWICE, "update runner.inbox set activation = '2' where run_id = $1"),
    (
        "finished",
        FindingKind.EVENT_CONSUMED_TWICE,
        f"""update runner.run_events set payload = payload || '{{"consumed": 2}}' where {COMPLETION}""",
    ),
]


@pytest.mark.parametrize("planted", VIOLATIONS, ids=[f"{n}-{kind}" for n, (_, kind, _) in enumerate(VIOLATIONS)])
async def test_a_planted_violation_is_found_in_its_run_alone(
    runner_db: Database, runs: dict[str, str], planted: tuple[str, FindingKind, str]
) -> None:
    which, kind, statement = planted
    async with runner_db.connection() as connection:
        await connection.execute(statement, UUID(runs[which]))
    findings = await found(runner_db)
    assert kind in {finding.kind for finding in findings}
    assert {finding.run_id for finding in findings} == {runs[which]}
    assert await found(runner_db, experiment_id="another") == []
    await _forget_everything(runner_db)


async def test_a_node_that_completed_twice_is_found(runner_db: Database, runs: dict[str, str]) -> None:
    async with runner_db.connection() as connection:
        await connection.execute(
            "update runner.run_events e set event_type = 'NodeCompleted', payload = o.payload "
            "from runner.run_events o where e.run_id = $1 and o.run_id = $1 and o.event_type = 'NodeCompleted' "
            "and o.node_id = 'm' and e.event_type = 'NodeStarted' and e.node_id = 'm'",
            UUID(runs["finished"]),
        )
    assert FindingKind.COMPLETED_TWICE in {finding.kind for finding in await found(runner_db)}
    await _forget_everything(runner_db)


async def test_a_job_that_outlives_its_run_is_found_once_patience_is_over(
    runner_db: Database, runs: dict[str, str]
) -> None:
    async with runner_db.connection() as connection:
        await connection.execute(
            "insert into runner.jobs (job_id, run_id, node_id, activation, experiment_id, job_type, job_name, backend, "
            "spec, state, host) values ($1, $2, 'j', '0', 'e1', 'TRAIN', 'j', 'subprocess', '{}', 'RUNNING', 'gone')",
            UUID(new_id()), UUID(runs["finished"]),
        )  # fmt: skip
        assert await found(runner_db) == []
        await connection.execute("update runner.runs set end_time = end_time - interval '6 minutes'")
    (finding,) = await found(runner_db)
    assert (finding.kind, finding.run_id) == (FindingKind.JOB_OUTLIVES_RUN, runs["finished"])


async def test_what_cannot_be_told_is_found_once_patience_is_over_and_what_was_refused_at_once(
    runner_db: Database, runs: dict[str, str]
) -> None:
    statement = "insert into runner.outbox (kind, payload, refuse_time, create_time) values ('RUN_STATE', $1, $2, $3)"
    payload = {"run_id": runs["finished"], "firing_id": "f"}
    async with runner_db.connection() as connection:
        now = await connection.fetchval("select runner.as_of()")
        await connection.execute(statement, payload, None, now)
        assert await found(runner_db) == []
        await connection.execute(statement, payload, now, now)
        assert [finding.kind for finding in await found(runner_db)] == [FindingKind.OUTBOX_STUCK]
        await connection.execute("update runner.outbox set create_time = create_time - interval '6 minutes'")
    assert [finding.kind for finding in await found(runner_db)] == [FindingKind.OUTBOX_STUCK] * 2
    assert await found(runner_db, experiment_id="e1") == []


async def test_rows_whose_run_is_gone_are_found(runner_db: Database, runs: dict[str, str]) -> None:
    async with runner_db.connection() as connection:
        await connection.execute("update runner.inbox set state = 'PENDING'")
        await connection.execute("delete from runner.runs where run_id <> $1", UUID(runs["finished"]))
    strays = [finding for finding in await found(runner_db) if finding.kind is FindingKind.ROW_WITHOUT_RUN]
    assert {finding.run_id for finding in strays} == {runs["suspended"], runs["cancelled"]}
    await _forget_everything(runner_db)


async def test_a_small_batch_finds_the_same(runner_db: Database, runs: dict[str, str]) -> None:
    async with runner_db.connection() as connection:
        await connection.execute("update runner.runs set attempt = 9")
    whole = await found(runner_db)
    assert {finding.run_id for finding in whole} == set(runs.values())
    assert await found(runner_db, batch=1) == await found(runner_db, max_lines=1) == whole
    await _forget_everything(runner_db)


async def test_nothing_is_found_while_replicas_execute_many_runs(replica: Replicas, runner_db: Database) -> None:
    async with replica() as one, replica() as other:
        busy = [asyncio.create_task(keep_busy(runner)) for runner in (one, other)]
        checks = 0
        while not all(task.done() for task in busy):
            assert await found(runner_db, batch=7) == []
            checks += 1
        for task in busy:
            await task
        assert checks > 3
        assert await found(runner_db) == []


async def keep_busy(runner: Runner) -> None:
    """Runs of every kind: events before and after their wait, suspensions, timers, failures, cancellations."""
    diamond = {
        "nodes": [
            node("c", "Constant", value=1),
            node("w", "Delay", seconds=0.02),
            node("e", "Expression", expression="1"),
        ],
        "edges": [edge("c", "e", target_input="early"), edge("c", "w"), edge("w", "e", target_input="late")],
    }
    for number in range(12):
        endless, waiting = await runner.start(ENDLESS), await runner.start(TWO_WAITS)
        await runner.start(diamond)
        await runner.start(chain(node("bad", "Expression", expression="inputs.nothing")))
        for event in range(3):
            await runner.wake(endless, "m", event)
        await runner.wake(waiting, "a", number)
        if number % 2:
            await cancel_run(runner.database, runner.hub, endless, "enough", None)
        await runner.wake(waiting, "b", {"decision": "approved"})


async def test_the_command_prints_findings_and_a_summary_and_says_so_in_its_status(
    runner_dsn: str, runner_db: Database, runs: dict[str, str]
) -> None:
    out = io.StringIO()
    assert await verify(runner_dsn, Verification(), as_json=False, out=out) == CLEAN
    (summary,) = out.getvalue().splitlines()
    assert summary.startswith("3 runs with ")
    assert summary.endswith("no findings")
    async with runner_db.connection() as connection:
        await connection.execute("update runner.runs set attempt = 9 where run_id = $1", UUID(runs["finished"]))
    out = io.StringIO()
    assert await verify(runner_dsn, Verification(), as_json=False, out=out) == FAULTY
    first, summary = out.getvalue().splitlines()
    assert first == f"PROJECTION_DIFFERS {runs['finished']} attempt is 9, but its log says 1"
    assert summary.endswith("1 findings")
    await _forget_everything(runner_db)


@pytest.fixture
def environment(runner_dsn: str) -> dict[str, str]:
    return {**os.environ, "RUNNER_DATABASE_URL": runner_dsn}


async def test_the_process_verifies_the_database_of_its_settings(environment: dict[str, str]) -> None:
    code, out, err = await _run(environment, "verify", "--json")
    assert (code, json.loads(out.splitlines()[-1])) == (CLEAN, {"summary": {"runs": 0, "lines": 0, "findings": 0}})
    assert "checked 0 runs" in err
    code, _, err = await _run({**environment, "RUNNER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, "verify")
    assert code == IMPOSSIBLE
    assert err.startswith("verify: Unavailable: ")
    code, _, err = await _run(environment, "verify", "--all")
    assert code == IMPOSSIBLE


async def _run(environment: dict[str, str], *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runner_service", *arguments, env=environment, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def _forget_everything(database: Database) -> None:
    """The fixture of every test here checks all runs at the end, as `verify` does; these are damaged on purpose."""
    async with database.connection() as connection:
        await connection.execute(
            "truncate runner.runs, runner.run_events, runner.inbox, runner.waits, runner.jobs, runner.outbox cascade"
        )
