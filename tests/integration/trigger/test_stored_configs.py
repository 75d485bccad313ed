"""Whatever foreign SQL writes into workflows: reads, lists and matching go on, for every workflow."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.trigger.harness import TYPES, Harness, serving
from tests.integration.trigger.peer import Peer
from trigger_service.domain.blueprints import Blueprint, on_offer
from trigger_service.domain.configs import TriggerConfig
from trigger_service.usecases.offer_blueprints import offer_blueprints
from wakepoint.chassis.database import Database
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

TRAIN_ON = {"trigger_type": "TRAIN", "is_enabled": True}

DAMAGED: list[Any] = [
    None,
    "",
    "not json",
    5,
    True,
    {},
    {"trigger_type": "TRAIN", "is_enabled": True},
    [],
    ["TRAIN", "EVAL"],
    [None, 1, [], "TRAIN"],
    [{"trigger_type": None, "is_enabled": True}],
    [{"trigger_type": ["TRAIN"], "is_enabled": True}],
    [{"is_enabled": True}],
    [{"trigger_type": "NONSENSE", "is_enabled": True}],
    [{"trigger_type": "train", "is_enabled": True}],
    [{"trigger_type": "TRAIN", "is_enabled": "true"}],
    [{"trigger_type": "TRAIN", "is_enabled": 1}],
    [{"trigger_type": "TRAIN"}, TRAIN_ON],
    [TRAIN_ON | {"condition": 5}],
    [TRAIN_ON | {"job_name_pattern": ["*"]}],
    [TRAIN_ON | {"on_statuses": "COMPLETE"}],
    [TRAIN_ON | {"on_statuses": [["COMPLETE"]]}],
    [TRAIN_ON | {"source_experiment_ids": {"e1": 1}}],
    [TRAIN_ON | {"source_experiment_ids": ["x" * 10_000]}],
    [TRAIN_ON | {"expire_time": "now"}],
    [TRAIN_ON | {"expire_time": "2027-02-31T00:00:00Z"}],
    [TRAIN_ON | {"expire_time": "9999-12-31T23:59:59Z"}],
    [TRAIN_ON | {"expire_time": 5}],
    [TRAIN_ON | {"delay": "-5s"}],
    [TRAIN_ON | {"delay": 5}],
    [TRAIN_ON | {"delay": "9999999999s"}],
    [TRAIN_ON | {"debounce": "5s"}],
    [TRAIN_ON | {"debounce": {"quiet_period": "0s"}}],
    [TRAIN_ON | {"debounce": {"quiet_period": "5s", "max_wait": "4s"}}],
    [TRAIN_ON | {"max_firings": "1"}],
    [TRAIN_ON | {"max_firings": 1.5}],
    [TRAIN_ON | {"max_firings": 99999999999}],
    [TRAIN_ON | {"rate_limit": {"max_firings": 0, "window": "60s"}}],
    [TRAIN_ON | {"rate_limit": {"max_firings": 1}}],
    [TRAIN_ON | {"rate_limit": []}],
    [TRAIN_ON | {"while_paused": "WAIT"}],
    [TRAIN_ON | {"while_paused": ["HOLD"]}],
]


async def store(service: Harness, workflow_id: str, stored: Any) -> None:
    await service.execute(
        "update trigger.workflows set trigger_configs = $2 where workflow_id = $1", workflow_id, stored
    )


@pytest.mark.parametrize("stored", DAMAGED, ids=[json.dumps(item)[:90] for item in DAMAGED])
async def test_a_damaged_value_reads_as_off_and_breaks_nothing(service: Harness, stored: Any) -> None:
    sound, damaged = await service.workflow(TRAIN={}), await service.workflow(TRAIN={})
    await store(service, damaged, stored)
    read = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=damaged))
    assert [(c.trigger_type, c.is_enabled) for c in read.trigger_configs] == [(kind, False) for kind in TYPES]
    assert len((await service.stub.ListWorkflows(calls.ListWorkflowsRequest())).workflows) == 2
    assert [firing.workflow_id for firing in (await service.report()).firings] == [sound]


async def test_sql_null_reads_as_every_default(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await service.execute("update trigger.workflows set trigger_configs = null")
    read = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    assert [(c.trigger_type, c.is_enabled) for c in read.trigger_configs] == [(kind, False) for kind in TYPES]


async def test_of_repeated_types_the_first_wins_and_the_order_is_the_blueprints(service: Harness) -> None:
    workflow_id = await service.workflow()
    await store(
        service,
        workflow_id,
        [
            {"trigger_type": "EVAL", "is_enabled": True},
            {"trigger_type": "X", "is_enabled": True},
            TRAIN_ON | {"condition": "job.attempt == 1", "label": "mine"},
            {"trigger_type": "TRAIN", "is_enabled": False},
        ],
    )
    read = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    assert [c.trigger_type for c in read.trigger_configs] == list(TYPES)
    assert [c.trigger_type for c in read.trigger_configs if c.is_enabled] == ["TRAIN", "EVAL"]
    assert read.trigger_configs[0].condition == "job.attempt == 1"


async def test_what_foreign_sql_writes_matches_at_once_and_changes_the_etag(service: Harness) -> None:
    workflow_id = await service.workflow()
    before = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    await store(service, workflow_id, [TRAIN_ON | {"on_statuses": ["FAILED"]}])
    after = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    assert after.etag != before.etag
    assert not (await service.report()).firings
    assert len((await service.report(status="FAILED")).firings) == 1


async def test_workflows_that_foreign_sql_inserts_or_removes_match_or_not(service: Harness) -> None:
    await service.workflow()
    await service.execute(
        "insert into trigger.workflows (workflow_id, experiment_id, name, graph_hash, trigger_configs) "
        "select gen_random_uuid(), 'e1', 'legacy', graph_hash, $1 from trigger.graphs",
        [TRAIN_ON],
    )
    assert len((await service.report(job_id="a")).firings) == 1
    await service.execute("delete from trigger.workflows where name = 'legacy'")
    assert not (await service.report(job_id="b")).firings
    assert await service.value("select count(*) from trigger.trigger_index") == 0


async def test_a_stored_condition_that_does_not_compile_is_an_error_of_that_workflow_alone(service: Harness) -> None:
    sound, broken = await service.workflow(name="sound", TRAIN={}), await service.workflow(name="broken")
    await store(service, broken, [TRAIN_ON | {"condition": "((("}])
    assert [firing.workflow_id for firing in (await service.report()).firings] == [sound]


async def test_a_writer_without_rights_on_the_derived_tables_may_edit_configs(
    service: Harness, trigger_dsn: str
) -> None:
    workflow_id = await service.workflow()
    await service.execute("create role legacy_writer login")
    try:
        await service.execute("grant usage on schema trigger to legacy_writer")
        await service.execute("grant select, update on trigger.workflows to legacy_writer")
        async with service.database.transaction() as connection:
            await connection.execute("set local role legacy_writer")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute("delete from trigger.trigger_index")
            await connection.execute(
                "update trigger.workflows set trigger_configs = $2 where workflow_id = $1", workflow_id, [TRAIN_ON]
            )
        assert len((await service.report()).firings) == 1
    finally:
        await service.execute("drop owned by legacy_writer")
        await service.execute("drop role legacy_writer")


async def test_a_blueprint_added_by_setting_appears_in_every_workflow(trigger_db: Database, peer: Peer) -> None:
    async with serving(trigger_db, peer) as before:
        workflow_id = await before.workflow(TRAIN={})
    more = on_offer([Blueprint(trigger_type="FINETUNE", name="On Fine-Tuning Completed", default_is_enabled=True)])
    async with serving(trigger_db, peer, more) as after:
        read = await after.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
        assert [c.trigger_type for c in read.trigger_configs if c.is_enabled] == ["TRAIN", "FINETUNE"]
        assert len((await after.report(job_type="FINETUNE")).firings) == 1
    async with serving(trigger_db, peer) as withdrawn:
        assert not (await withdrawn.report(job_type="FINETUNE", job_id="later")).firings


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "TRAIN", "EVAL", "COMPLETE", "now", "5s", "0s", "999999999s", "HOLD", 10**12, 0.5]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "trigger_type",
                    "is_enabled",
                    "condition",
                    "on_statuses",
                    "source_experiment_ids",
                    "expire_time",
                    "delay",
                    "debounce",
                    "quiet_period",
                    "max_wait",
                    "max_firings",
                    "rate_limit",
                    "window",
                    "while_paused",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(stored=_JSON)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_normaliser_never_raises_and_always_gives_one_sound_config_per_blueprint(
    normalise: Any, stored: Any
) -> None:
    found = normalise(stored)
    assert [TriggerConfig.model_validate(item).trigger_type for item in found] == list(TYPES)


@pytest.fixture
def normalise(trigger_dsn: str) -> Any:
    """The SQL normaliser, callable from hypothesis' synchronous tests."""
    loop = asyncio.new_event_loop()
    database = loop.run_until_complete(Database.open(trigger_dsn, application_name="test", min_size=1, max_size=1))
    loop.run_until_complete(offer_blueprints(database, on_offer()))

    async def ask(stored: Any) -> Any:
        async with database.connection() as connection:
            return await connection.fetchval("select trigger.normalise_configs($1)", stored)

    yield lambda stored: loop.run_until_complete(ask(stored))
    loop.run_until_complete(database.close())
    loop.close()
