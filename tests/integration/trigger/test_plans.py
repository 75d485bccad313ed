"""What the hot statements cost when there is much that they do not concern."""

import statistics
import sys
import time
from datetime import timedelta
from uuid import UUID

import pytest

from tests.integration.trigger.harness import Harness, serving
from tests.integration.trigger.peer import Peer
from tests.support.postgres import Postgres
from trigger_service.domain.events import JobEvent
from trigger_service.storage import events, explanations, firings, replays
from trigger_service.storage import statistics as counting
from trigger_service.usecases.report_job_events import report_job_events
from wakepoint.chassis.database import Database
from wakepoint.chassis.ids import new_id

_A_REPORT = (["e1"], ["j"], [1], ["TRAIN"], ["COMPLETE"])

MANY = 20_000
WORKFLOWS = 100_000


async def test_a_report_costs_the_same_with_ten_and_with_a_hundred_thousand_workflows(
    service: Harness, peer: Peer, postgres: Postgres, trigger_template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    matching = await service.workflow(TRAIN={})
    await add_workflows(service, WORKFLOWS)
    await service.execute(
        "insert into trigger.jobs (experiment_id, job_id) select 'e1', 'other' || n from generate_series(1, $1) as n",
        MANY,
    )
    with postgres.database(trigger_template) as dsn:
        database = await Database.open(dsn, application_name="test")
        async with serving(database, peer) as small:
            await small.workflow(TRAIN={})
            await add_workflows(small, 10)
            for one in (small, service):
                await one.execute("vacuum analyze")
            with capsys.disabled():
                sys.stdout.write(await side_by_side(small, service))
            few, many = [await buffers(one, events._SQL["match_view"], *_A_REPORT) for one in (small, service)]
        await database.close()
    # Pages are what can be counted on a busy machine: an index of 100,000 rows is one or two levels deeper.
    assert many <= few + 12
    plan = await explained(service, events._SQL["match_view"], *_A_REPORT)
    # Paused experiments are a handful, and none here: Postgres looks at the table as a whole.
    assert not [line for line in plan.splitlines() if "Seq Scan" in line and "paused_experiments" not in line]
    assert [firing.workflow_id for firing in (await service.report()).firings] == [matching]


async def test_a_report_is_not_planned_anew_each_time(trigger_dsn: str, peer: Peer) -> None:
    database = await Database.open(trigger_dsn, application_name="test", min_size=1, max_size=1)
    async with serving(database, peer) as service:
        await service.workflow(TRAIN={})
        await reports(service, 30)
        async with database.connection() as connection:
            rows = await connection.fetch(
                "select statement, custom_plans, generic_plans from pg_prepared_statements "
                "where statement like '-- match_view%' or statement like '-- record_events%'"
            )
    await database.close()
    # Postgres tries five times what a plan for the very parameters would cost.
    assert [(row["custom_plans"], row["generic_plans"]) for row in rows] == [(5, 25)] * 2


async def test_looking_back_reads_by_index_however_much_has_happened(service: Harness) -> None:
    workflow_id = UUID(await service.workflow(TRAIN={}))
    await add_workflows(service, MANY)
    await service.execute(
        "insert into trigger.job_events (event_key, experiment_id, event_id, job_id, attempt, status, job_type, "
        "job_name, occur_time, revision, create_time) select gen_random_uuid(), 'x' || n % 100, 'id' || n, 'j' || n, "
        "1, 'COMPLETE', 'TRAIN', '', now(), 1, now() - make_interval(secs => n) from generate_series(1, $1) as n",
        MANY,
    )
    await service.execute(
        "insert into trigger.firings (firing_id, event_key, workflow_id, experiment_id, trigger_type, "
        "workflow_version, graph_hash, state) select gen_random_uuid(), event_key, gen_random_uuid(), experiment_id, "
        "'TRAIN', 1, '', 'DISPATCHED' from trigger.job_events",
    )
    await service.execute("vacuum analyze")
    now, key = await service.value("select now()"), workflow_id
    hour = timedelta(hours=1)
    for statement, arguments in {
        explanations._SQL["find_events"]: ("x1", "id1"),
        explanations._SQL["workflows_at"]: ("x1", 5, now, None, 50),
        explanations._SQL["workflows_now"]: ("x1", 50),
        explanations._SQL["traces"]: ([key], [key]),
        explanations._SQL["events_of_workflow"]: (key, None, None, 50, now - hour),
        explanations._SQL["events_between"]: ("x1", now - hour, None, None, None, ["TRAIN"], key, 1000),
        counting._SQL["count_events"]: (["x1"], now - hour, hour),
        counting._SQL["count_firings"]: (key, ["TRAIN"], now - hour, hour),
        counting._SQL["last_fired"]: (key, ["TRAIN"]),
        replays._SQL["earlier_matches"]: ([key],),
        replays._SQL["firings_of_replay"]: (key,),
    }.items():
        plan = await explained(service, statement, *arguments)
        large = [line for line in plan.splitlines() if "Seq Scan" in line and "decisions" not in line]
        assert not large, plan


async def test_the_dispatchers_questions_read_only_what_is_in_flight(service: Harness) -> None:
    await service.execute(
        "insert into trigger.firings (firing_id, event_key, workflow_id, experiment_id, trigger_type, "
        "workflow_version, graph_hash, state) select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'e1', "
        "'TRAIN', 1, '', 'DISPATCHED' from generate_series(1, $1)",
        MANY,
    )
    await service.execute("analyze trigger.firings")
    plan = await explained(service, firings._SQL["sweep_leases"], 100)
    assert "firings_leased" in plan
    assert "Seq Scan on firings" not in plan


async def explained(service: Harness, statement: str, *arguments: object) -> str:
    """The plan that serves any parameters, which is what a prepared statement comes to use."""
    async with service.database.transaction() as connection:
        await connection.execute("set local plan_cache_mode = force_generic_plan")
        rows = await connection.fetch(f"explain (costs off) {statement}", *arguments)
    return "\n".join(row[0] for row in rows)


async def buffers(service: Harness, statement: str, *arguments: object) -> int:
    """How many pages the statement touches."""
    async with service.database.transaction() as connection:
        await connection.execute("set local plan_cache_mode = force_generic_plan")
        [plan] = await connection.fetchval(f"explain (analyze, buffers, format json) {statement}", *arguments)
    return int(plan["Plan"]["Shared Hit Blocks"]) + int(plan["Plan"]["Shared Read Blocks"])


async def add_workflows(service: Harness, many: int) -> None:
    """Workflows that an EVAL starts, half of them in e1. One is derived, the others' derived rows are copies of its."""
    await service.execute(
        "insert into trigger.workflows (workflow_id, experiment_id, name, graph_hash, trigger_configs) "
        "select $1, 'e1', 'w', graph_hash, $2 from trigger.graphs limit 1",
        (first := new_id()),
        [{"trigger_type": "EVAL", "is_enabled": True}],
    )
    async with service.database.transaction() as connection:
        await connection.execute("alter table trigger.workflows disable trigger derive_inserted")
        await connection.execute(
            "insert into trigger.workflows (workflow_id, experiment_id, name, graph_hash, trigger_configs) "
            "select gen_random_uuid(), case when n % 2 = 0 then 'e1' else 'x' || n % 5000 end, 'copy', graph_hash, "
            "trigger_configs from trigger.workflows, generate_series(1, $2) as n where workflow_id = $1",
            first,
            many,
        )
        await connection.execute("alter table trigger.workflows enable trigger derive_inserted")
        await connection.execute(
            "insert into trigger.experiments select distinct experiment_id, 1 from trigger.workflows "
            "on conflict do nothing"
        )
        await connection.execute(
            "insert into trigger.trigger_index select w.experiment_id, i.trigger_type, w.workflow_id, i.on_statuses, "
            "i.config from trigger.workflows as w, trigger.trigger_index as i "
            "where w.name = 'copy' and i.workflow_id = $1",
            first,
        )
        await connection.execute(
            "insert into trigger.config_history (experiment_id, workflow_id, valid_from, configs, paused, "
            "workflow_experiment_id) select w.experiment_id, w.workflow_id, 1, h.configs, false, w.experiment_id "
            "from trigger.workflows as w, trigger.config_history as h where w.name = 'copy' and h.workflow_id = $1",
            first,
        )


async def reports(service: Harness, many: int) -> list[float]:
    """How long each of so many reports took, in seconds."""
    taken = []
    for _ in range(many):
        event = JobEvent(experiment_id="e1", job_id=new_id(), job_type="TRAIN", status="COMPLETE")
        began = time.perf_counter()
        await report_job_events(service.env, [event])
        taken.append(time.perf_counter() - began)
    return taken


async def side_by_side(small: Harness, large: Harness) -> str:
    """Reports to both in turns, so that whatever else the machine does befalls both; for people to read."""
    times: list[list[float]] = [[], []]
    for turn in range(9):
        for taken, one in zip(times, (small, large), strict=True):
            measured = await reports(one, 25)
            taken.extend(measured if turn else [])
    few, many = (statistics.median(taken) * 1e6 for taken in times)
    return f"\na report: {few:.0f} us with 10 workflows, {many:.0f} us with 100,000: {many / few:.2f} times\n"
