"""What releasing and admitting cost when there is much that they do not concern."""

from tests.integration.trigger.harness import Harness
from tests.integration.trigger.test_options import debounce, report
from tests.integration.trigger.test_plans import buffers, explained
from trigger_service.storage import pauses

MANY = 20_000


async def fill(service: Harness) -> None:
    await service.execute(
        "insert into trigger.firings (firing_id, event_key, workflow_id, experiment_id, trigger_type, "
        "workflow_version, graph_hash, state, held_by, next_attempt_time) "
        "select gen_random_uuid(), gen_random_uuid(), w.workflow_id, 'e1', 'TRAIN', 1, '', "
        "case when n % 10 = 0 then 'HELD' else 'DISPATCHED' end, case when n % 10 = 0 then 'PAUSE' else '' end, "
        "trigger.stamp() from generate_series(1, $1) as n, trigger.workflows as w",
        MANY,
    )
    await service.execute(
        "insert into trigger.limit_counters (workflow_id, trigger_type) "
        "select gen_random_uuid(), 'TRAIN' from generate_series(1, $1)",
        MANY,
    )
    await service.execute("analyze trigger.firings, trigger.limit_counters")


async def test_the_release_loops_questions_do_not_read_what_is_not_due_or_still_paused(service: Harness) -> None:
    await service.workflow()
    await service.execute("update trigger.workflows set paused = true")
    await fill(service)
    for name, arguments in (("lock_due", (500,)), ("no_longer_paused", (500,))):
        plan = await explained(service, pauses._SQL[name], *arguments)
        assert "Seq Scan on firings" not in plan, plan
        assert await buffers(service, pauses._SQL[name], *arguments) < 60


async def test_admitting_touches_its_own_counters_and_windows_only(service: Harness) -> None:
    await service.workflow(TRAIN={"debounce": debounce(60), "max_firings": 5})
    await fill(service)
    await report(service, "a")
    scans = (
        "select coalesce(sum(seq_tup_read), 0) from pg_stat_xact_user_tables "
        "where relname in ('firings', 'limit_counters', 'decisions', 'job_events')"
    )
    [item] = [
        {
            "place": 0,
            "firing_id": "018f0000-0000-7000-8000-000000000001",
            "event_key": "018f0000-0000-7000-8000-000000000002",
            "workflow_id": await service.value("select workflow_id::text from trigger.workflows"),
            "experiment_id": "e1",
            "watched_id": "e1",
            "event_id": "b",
            "trigger_type": "TRAIN",
            "workflow_version": 1,
            "graph_hash": "00",
            "depth": 0,
            "replay": 0,
            "paused": False,
            "quiet_period": "60 seconds",
            "max_firings": 5,
            "config": {},
        }
    ]
    async with service.database.transaction() as connection:
        before = await connection.fetchval(scans)
        await connection.execute("select trigger.admit($1)", [item])
        assert await connection.fetchval(scans) == before
    assert await service.value("select event_id from trigger.firings where held_by = 'DEBOUNCE'") == "b"
