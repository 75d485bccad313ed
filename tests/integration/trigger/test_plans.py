"""What the hot statements cost when there is much that they do not concern."""

from tests.integration.trigger.harness import Harness
from trigger_service.storage import events, firings

MANY = 20_000


async def test_matching_reads_by_index_however_many_workflows_there_are(service: Harness) -> None:
    matching = await service.workflow(TRAIN={})
    await service.execute(
        "insert into trigger.workflows (workflow_id, experiment_id, name, graph_hash, trigger_configs) "
        "select gen_random_uuid(), case when n % 2 = 0 then 'e1' else 'x' || n % 5000 end, 'w', graph_hash, $2 "
        "from trigger.graphs, generate_series(1, $1) as n",
        MANY,
        [{"trigger_type": "EVAL", "is_enabled": True}],
    )
    await service.execute(
        "insert into trigger.jobs (experiment_id, job_id) select 'e1', 'other' || n from generate_series(1, $1) as n",
        MANY,
    )
    await service.execute("analyze trigger.workflows, trigger.trigger_index, trigger.experiments, trigger.jobs")
    arguments = (["e1"], ["j"], [1], ["TRAIN"], ["COMPLETE"])
    plan = await explained(service, events._SQL["match_view"], *arguments)
    assert not [line for line in plan.splitlines() if "Seq Scan" in line]
    assert await buffers(service, events._SQL["match_view"], *arguments) < 60
    assert [firing.workflow_id for firing in (await service.report()).firings] == [matching]


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
