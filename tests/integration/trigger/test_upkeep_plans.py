"""What the loops beside the dispatcher ask costs what is due, not what is there."""

from datetime import timedelta
from uuid import UUID

from tests.integration.trigger.harness import Harness
from tests.integration.trigger.test_plans import MANY, add_workflows, buffers, explained
from trigger_service.storage import cycles, deliveries, events, jobs, retention
from wakepoint.chassis.ids import new_id


async def test_a_written_job_is_matched_by_index_at_whatever_revision(service: Harness) -> None:
    await service.workflow(TRAIN={})
    await add_workflows(service, MANY)
    await service.execute(
        "insert into trigger.jobs (experiment_id, job_id) select 'e1', 'other' || n from generate_series(1, $1) as n",
        MANY,
    )
    await service.execute("vacuum analyze")
    now = int(await service.value("select revision from trigger.experiments where experiment_id = 'e1'"))
    for revision in (now, 1):
        arguments = (["e1"], ["j"], [1], ["TRAIN"], ["COMPLETE"], [revision])
        plan = await explained(service, events._SQL["match_view_at"], *arguments)
        # Paused experiments are a handful, and none here: Postgres looks at the table as a whole.
        assert not [line for line in plan.splitlines() if "Seq Scan" in line and "paused_experiments" not in line], plan
        assert await buffers(service, events._SQL["match_view_at"], *arguments) < 60
    plan = await explained(service, cycles._SQL["started_by"], ["e1"], ["TRAIN"], 100)
    assert "Seq Scan on trigger_index" not in plan


async def test_what_is_due_is_found_by_index(service: Harness) -> None:
    await service.execute(
        "insert into trigger.job_events (event_key, experiment_id, event_id, job_id, attempt, status, job_type, "
        "job_name, occur_time, revision, purge_time) select gen_random_uuid(), 'x' || n % 100, 'id' || n, 'j' || n, "
        "1, 'COMPLETE', 'TRAIN', '', now(), 1, case when n % 2 = 0 then now() end from generate_series(1, $1) as n",
        MANY,
    )
    await service.execute(
        "insert into trigger.jobs (experiment_id, job_id, status) select 'e1', 'j' || n, 'RUNNING' "
        "from generate_series(1, $1) as n",
        MANY,
    )
    await service.execute(
        "insert into trigger.heartbeats (experiment_id, job_id, attempt, heartbeat_timeout, due_time) "
        "select 'e1', 'j' || n, 1, '1h', now() + '1h' from generate_series(1, $1) as n",
        MANY,
    )
    await service.execute(
        "insert into trigger.deliveries (event_key, next_attempt_time) select event_key, now() + '1h' "
        "from trigger.job_events"
    )
    await service.execute(
        "insert into trigger.written_jobs (experiment_id, job_id, attempt, job_type, job_name, status, attributes, "
        "revision, problem) select 'e1', 'j' || n, 1, 'TRAIN', '', 'COMPLETE', '{}', 1, 'odd' "
        "from generate_series(1, $1) as n",
        MANY,
    )
    await service.execute(
        "insert into trigger.requests (experiment_id, method, request_id, body_hash, result_id) "
        "select 'e1', 'm', n::text, '', gen_random_uuid() from generate_series(1, $1) as n",
        MANY,
    )
    await service.execute("vacuum analyze")
    now, month = await service.value("select now()"), timedelta(days=30)
    for statement, arguments in {
        jobs._SQL["lock_written"]: (500,),
        jobs._SQL["lock_unsaid"]: (500,),
        jobs._SQL["silent_jobs"]: (now, ["RUNNING"], 200),
        deliveries._SQL["lease_deliveries"]: (timedelta(seconds=5), 500),
        retention._SQL["purgeable_events"]: (UUID(int=0), month, 200),
        retention._SQL["lock_events"]: ([UUID(new_id())],),
        retention._SQL["lock_firings_of_events"]: ([UUID(new_id())], month),
        retention._SQL["purge_firings_by_hand"]: (UUID(int=0), month, 200),
        retention._SQL["forget_events"]: (month, 200),
        retention._SQL["forget_requests"]: (month, 200),
        retention._SQL["forget_deliveries"]: (month, 200),
    }.items():
        plan = await explained(service, statement, *arguments)
        # Tables that are empty here, and small anywhere.
        scans = [line for line in plan.splitlines() if "Seq Scan" in line and "firings" not in line]
        assert not [line for line in scans if "graphs" not in line and "workflows" not in line], plan
