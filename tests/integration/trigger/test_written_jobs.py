"""Jobs that others write into trigger.jobs by SQL: once, at the configs of that moment, whoever sweeps and dies."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf.json_format import MessageToDict

from tests.integration.trigger.harness import Harness, event
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import running
from tests.integration.trigger.test_process import create
from tests.support.conditions import eventually
from trigger_service.usecases.sweep_written_jobs import say_matched, sweep_written_jobs
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

INSERT = (
    "insert into trigger.jobs (experiment_id, job_id, attempt, job_type, job_name, status, attributes) "
    "values ($1, $2, $3, $4, $5, $6, $7)"
)
UPSERT = INSERT + (
    " on conflict (experiment_id, job_id, attempt) do update set status = excluded.status, job_type = excluded.job_type"
)


async def write(service: Harness, statement: str = INSERT, **given: Any) -> None:
    row = {"experiment_id": "e1", "job_id": "j1", "attempt": 1, "job_type": "TRAIN", "job_name": "n"}
    row |= {"status": "COMPLETE", "attributes": {"a": 1}, **given}
    await service.execute(statement, *row.values())


async def sweep(service: Harness) -> None:
    while await sweep_written_jobs(service.env, limit=7):
        pass
    await say_matched(service.env)


async def enable(service: Harness, workflow_id: str, *, on: bool) -> None:
    workflow = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    update = calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=workflow.trigger_configs)
    update.configs[0].is_enabled = on
    await service.stub.UpdateTriggerConfigs(update)


async def test_a_row_inserted_by_sql_fires_once_with_what_it_says(service: Harness) -> None:
    workflow_id = await service.workflow(
        TRAIN={"condition": "job.attributes.a == 1 && job.attempt == 1", "job_name_pattern": "n*"}
    )
    await write(service)
    assert await service.value("select triggers_processed_time from trigger.jobs") is None
    await sweep(service)
    await sweep(service)
    [firing] = await service.firings(workflow_id)
    assert firing.state == messages.FIRING_STATE_QUEUED
    assert await service.value("select triggers_processed_time is not null from trigger.jobs")
    assert await service.value("select count(*) from trigger.written_jobs") == 0
    await service.dispatcher().dispatch_once()
    [sent] = service.peer.requests.values()
    assert MessageToDict(sent.input)["job"] == {
        "job_id": "j1",
        "job_type": "TRAIN",
        "job_name": "n",
        "status": "COMPLETE",
        "attributes": {"a": 1.0},
    }


async def test_every_status_that_sql_sets_is_an_event_even_when_the_next_comes_before_the_sweep(
    service: Harness,
) -> None:
    workflow_id = await service.workflow(TRAIN={"on_statuses": ["RUNNING", "COMPLETE"]})
    await write(service, status="QUEUED")
    for status in ("RUNNING", "COMPLETE", "DELETED"):
        await service.execute("update trigger.jobs set status = $1", status)
    await sweep(service)
    assert len(await service.firings(workflow_id)) == 2
    assert await service.value("select status from trigger.jobs") == "DELETED"
    recorded = await service.value("select array_agg(status order by event_key) from trigger.job_events")
    assert recorded == ["QUEUED", "RUNNING", "COMPLETE", "DELETED"]


async def test_our_own_reports_leave_nothing_to_sweep(service: Harness) -> None:
    await service.workflow(TRAIN={})
    for status in ("QUEUED", "RUNNING", "COMPLETE"):
        await service.report(status=status)
    assert await service.value("select count(*) from trigger.written_jobs") == 0


async def test_sql_that_goes_on_where_a_report_began_is_noticed(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await service.report(status="RUNNING")
    await service.execute("update trigger.jobs set status = 'COMPLETE'")
    await sweep(service)
    assert len(await service.firings(workflow_id)) == 1


async def test_another_attempt_written_by_sql_fires_again(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    for attempt in (1, 2):
        await write(service, attempt=attempt)
    await sweep(service)
    assert len(await service.firings(workflow_id)) == 2


async def test_what_was_written_while_a_trigger_was_off_never_fires_later(service: Harness) -> None:
    workflow_id = await service.workflow()
    await write(service, job_id="while off")
    await enable(service, workflow_id, on=True)
    await write(service, job_id="while on")
    await enable(service, workflow_id, on=False)
    await write(service, job_id="off again")
    await enable(service, workflow_id, on=True)
    await sweep(service)
    [firing] = await service.firings(workflow_id)
    fired = "select job_id from trigger.job_events join trigger.firings using (event_key)"
    assert await service.value(fired) == "while on"
    assert firing.event_id == str(await service.value("select event_key from trigger.firings"))


async def test_what_was_written_before_an_experiment_was_watched_is_an_event_and_fires_nothing(
    service: Harness,
) -> None:
    await write(service)
    await service.workflow(TRAIN={})
    await sweep(service)
    assert await service.value("select count(*) from trigger.job_events") == 1
    assert await service.value("select count(*) from trigger.firings") == 0


async def test_conditions_and_sources_are_those_of_the_moment_of_the_write(service: Harness) -> None:
    watching = await service.workflow(
        experiment_id="e2", TRAIN={"source_experiment_ids": ["e1"], "on_statuses": ["FAILED", "COMPLETE"]}
    )
    await write(service, status="FAILED")
    workflow = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=watching))
    update = calls.UpdateTriggerConfigsRequest(workflow_id=watching, configs=workflow.trigger_configs)
    del update.configs[0].source_experiment_ids[:]
    await service.stub.UpdateTriggerConfigs(update)
    await write(service, job_id="j2")
    await sweep(service)
    fired = "select array_agg(job_id) from trigger.job_events join trigger.firings using (event_key)"
    assert await service.value(fired) == ["j1"]


@pytest.mark.parametrize(
    "odd",
    [
        {"status": "done"},
        {"status": ""},
        {"job_type": ""},
        {"attributes": [1, 2]},
        {"attributes": None},
        {"attributes": "text"},
        {"job_name": "x" * 5_000},
        {"job_type": "T" * 5_000},
        {"attributes": {"x": "y" * 400_000}},
    ],
)
async def test_an_odd_value_is_no_error_to_the_writer_and_holds_nobody_back(
    service: Harness, odd: dict[str, Any]
) -> None:
    workflow_id = await service.workflow(TRAIN={})
    if odd.get("attributes", 0) is None:
        await service.execute(
            "insert into trigger.jobs (experiment_id, job_id, job_type, status, attributes) "
            "values ('e1', 'odd', 'TRAIN', 'COMPLETE', 'null')"
        )
    else:
        await write(service, job_id="odd", **odd)
    await write(service, job_id="sound")
    await sweep(service)
    pending = await service.value("select count(*) from trigger.written_jobs where problem is null")
    assert pending == 0
    firings = await service.firings(workflow_id)
    taken = await service.value("select count(*) from trigger.job_events where job_id = 'odd' and status = 'COMPLETE'")
    assert len(firings) == 1 + taken
    # Attributes that are no object count as none; the rest cannot be an event, and says why where it is one in name.
    if "attributes" in odd and not isinstance(odd["attributes"], dict):
        assert taken == 1
    elif "job_name" in odd or "attributes" in odd or odd.get("job_type"):
        problem = await service.value("select problem from trigger.written_jobs")
        assert "must not be longer than" in problem


async def test_a_type_that_comes_after_the_status_is_soon_enough(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await write(service, job_type="")
    await sweep(service)
    await service.execute("update trigger.jobs set job_type = 'TRAIN'")
    await sweep(service)
    assert len(await service.firings(workflow_id)) == 1


async def test_a_value_that_the_database_refuses_is_found_among_others_and_put_aside(service: Harness) -> None:
    """A row that passes every check of ours and still breaks the batch: the others are matched all the same."""
    workflow_id = await service.workflow(TRAIN={})
    for number in range(9):
        await write(service, job_id=f"j{number}")
    await service.execute(
        "create function trigger.break_one() returns trigger language plpgsql as "
        "$$ begin if new.job_id = 'j5' then raise exception using errcode = '22000'; end if; return new; end $$"
    )
    await service.execute(
        "create trigger break_one before insert on trigger.job_events for each row execute function trigger.break_one()"
    )
    await sweep(service)
    assert len(await service.firings(workflow_id)) == 8
    assert await service.value("select array_agg(job_id) from trigger.written_jobs where problem is not null") == ["j5"]


async def test_the_sweep_does_not_wait_for_a_writer_and_says_later_that_his_job_was_matched(
    service: Harness,
) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await write(service)
    async with service.database.transaction() as writer:
        await writer.execute("update trigger.jobs set job_name = 'still writing'")
        await asyncio.wait_for(sweep(service), 5)
        assert len(await service.firings(workflow_id)) == 1
        # What he holds does not stand before what comes later.
        await write(service, job_id="j2")
        await sweep(service)
        assert len(await service.firings(workflow_id)) == 2
        await say_matched(service.env)
    said = "select array_agg(job_id) from trigger.jobs where triggers_processed_time is not null"
    assert await service.value(said) == ["j2"]
    await say_matched(service.env)
    assert sorted(await service.value(said)) == ["j1", "j2"]
    assert await service.value("select count(*) from trigger.written_jobs") == 0
    assert len(await service.firings(workflow_id)) == 2


async def test_replicas_that_sweep_at_once_share_the_rows_and_fire_each_once(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    for number in range(40):
        await write(service, job_id=f"j{number}")
    await asyncio.gather(*(sweep(service) for _ in range(4)))
    firings = await service.firings(workflow_id, page_size=1000)
    assert len({firing.event_id for firing in firings}) == len(firings) == 40


@pytest.mark.parametrize("seed", range(12))
async def test_any_interleaving_of_sql_writes_reports_and_sweeps_fires_a_job_once(service: Harness, seed: int) -> None:
    workflow_id = await service.workflow(TRAIN={})
    rng = random.Random(seed)
    statuses = ["QUEUED", "RUNNING", "COMPLETE"]

    async def by_sql(job_id: str) -> None:
        for status in statuses:
            await write(service, UPSERT, job_id=job_id, status=status)

    async def by_report(job_id: str) -> None:
        for status in statuses:
            await service.report(job_id=job_id, status=status)

    async def in_one_batch(_job_id: str) -> None:
        request = calls.BatchReportJobEventsRequest(events=[event(job_id=job) for job in ("b", "a")])
        results = (await service.stub.BatchReportJobEvents(request)).results
        assert not any(result.HasField("error") for result in results)

    moves = [by_sql, by_report, by_sql, in_one_batch] * 2
    jobs = ["a", "b"]
    tasks = [(move, job) for move in moves for job in jobs]
    rng.shuffle(tasks)
    await asyncio.gather(*(move(job) for move, job in tasks), *(sweep(service) for _ in range(3)))
    await sweep(service)
    assert len(await service.firings(workflow_id)) == 2
    assert await service.value("select count(*) from trigger.job_events where status = 'COMPLETE'") == 2
    assert await service.value("select count(*) from trigger.written_jobs") == 0


@pytest.mark.parametrize("failpoint", ["trigger.sweep.before_commit", "trigger.sweep.after_commit"])
async def test_a_kill_in_the_sweep_leaves_exactly_one_run(
    tmp_path: Path, trigger_dsn: str, peer: Peer, failpoint: str
) -> None:
    statement = (
        "insert into trigger.jobs (experiment_id, job_id, job_type, status) values ('e1', 'j1', 'TRAIN', 'COMPLETE')"
    )
    connection = await asyncpg.connect(trigger_dsn)
    try:
        async with running(tmp_path, trigger_dsn, peer.address, WAKEPOINT_FAILPOINT=failpoint) as doomed:
            await create(doomed)
            await connection.execute(statement)
            assert await doomed.ended() == -signal.SIGKILL
        (tmp_path / "b").mkdir()
        async with running(tmp_path, trigger_dsn, peer.address), running(tmp_path / "b", trigger_dsn, peer.address):
            await eventually(lambda: peer.runs)
            processed = "select triggers_processed_time is not null from trigger.jobs"
            await eventually(lambda: connection.fetchval(processed))
        assert len(peer.runs) == 1
        assert await connection.fetchval("select count(*) from trigger.firings") == 1
    finally:
        await connection.close()


async def test_the_role_for_writers_writes_jobs_and_nothing_else(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    async with service.database.transaction() as writer:
        await writer.execute("set local role jobs_writer")
        await writer.execute(UPSERT, "e1", "j1", 1, "TRAIN", "n", "RUNNING", {})
        await writer.execute("update trigger.jobs set status = 'COMPLETE' where job_id = 'j1'")
    await sweep(service)
    assert len(await service.firings(workflow_id)) == 1
    for forbidden in (
        "select triggers_processed_time from trigger.jobs",
        "select * from trigger.written_jobs",
        "delete from trigger.jobs",
        "update trigger.jobs set triggers_processed_time = null",
        "update trigger.jobs set event_key = null",
        "insert into trigger.written_jobs default values",
        "select * from trigger.workflows",
        "create table trigger.mine (id int)",
    ):
        assert await refused_to_writers(service, forbidden), forbidden


async def refused_to_writers(service: Harness, statement: str) -> bool:
    try:
        async with service.database.transaction() as writer:
            await writer.execute("set local role jobs_writer")
            await writer.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


@pytest.mark.parametrize("seed", range(6))
async def test_every_write_fires_what_was_on_at_its_moment_and_is_explained_so(service: Harness, seed: int) -> None:
    """Edits, writes and sweeps in any order against a model; ExplainEvent says of each event what really fired."""
    rng = random.Random(seed)
    workflows = [await service.workflow(name=f"w{number}") for number in range(3)]
    state = dict.fromkeys(workflows, False)
    expected: dict[str, set[str]] = {}
    for number in range(30):
        match rng.choice(["edit", "write", "write", "sweep"]):
            case "edit":
                workflow_id = rng.choice(workflows)
                state[workflow_id] = not state[workflow_id]
                await enable(service, workflow_id, on=state[workflow_id])
            case "write":
                await write(service, job_id=f"j{number}")
                expected[f"j{number}"] = {workflow_id for workflow_id, on in state.items() if on}
            case _:
                await sweep_written_jobs(service.env, limit=rng.randint(1, 5))
    await sweep(service)
    events = await service.value("select jsonb_object_agg(job_id, event_id) from trigger.job_events") or {}
    assert set(events) == set(expected)
    firings = await service.firings(experiment_id="e1", page_size=1000)
    for job_id, event_id in events.items():
        fired = {firing.workflow_id for firing in firings if firing.event_id == event_id}
        answer = await service.stub.ExplainEvent(calls.ExplainEventRequest(experiment_id="e1", event_id=event_id))
        explained = {item.workflow_id for item in answer.decisions if item.verdict == "MATCHED"}
        assert fired == explained == expected[job_id]
