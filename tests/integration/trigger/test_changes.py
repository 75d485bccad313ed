"""UpdateWorkflow and BatchUpdateTriggerConfigs."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from tests.integration.trigger.harness import TYPES, Harness, configs, faults_of, graph, reason_of
from tests.integration.trigger.peer import Peer
from trigger_service.domain import limits
from trigger_service.rpc.convert import changes
from wakepoint.chassis.errors import Aborted, InvalidArgument, NotFound
from wakepoint.client import Client
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.workflow.v1.execution_pb2 import ON_CONFLICT_ALLOW, ON_CONFLICT_SKIP
from wakepoint.workflow.v1.graph_pb2 import Graph

NOBODY = "018f0000-0000-7000-8000-000000000000"


def change(*paths: str, experiment_id: str = "", **fields: Any) -> calls.UpdateWorkflowRequest:
    return calls.UpdateWorkflowRequest(
        workflow=messages.Workflow(**fields), update_mask=FieldMask(paths=paths), experiment_id=experiment_id
    )


async def get(service: Harness, workflow_id: str) -> messages.Workflow:
    return await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))


def enabled(workflow: messages.Workflow) -> list[str]:
    return [config.trigger_type for config in workflow.trigger_configs if config.is_enabled]


async def test_only_what_the_mask_names_changes(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    before = await get(service, workflow_id)
    after = await service.stub.UpdateWorkflow(
        change("name", workflow_id=workflow_id, name="new", graph=graph("other"), adopt_newest=True)
    )
    assert (after.name, after.graph, after.adopt_newest, enabled(after)) == ("new", before.graph, False, ["TRAIN"])
    assert after.etag != before.etag
    assert after == await get(service, workflow_id)


async def test_without_a_mask_what_is_set_changes_and_nothing_else(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    asked = peer.validated
    concurrency = messages.Concurrency(key="train-${input.job.job_name}", on_conflict=ON_CONFLICT_SKIP)
    after = await service.stub.UpdateWorkflow(
        change(workflow_id=workflow_id, concurrency=concurrency, adopt_newest=True, trigger_configs=configs(EVAL={}))
    )
    assert (after.name, after.concurrency, after.adopt_newest) == ("w", concurrency, True)
    assert enabled(after) == ["EVAL"]
    assert peer.validated == asked
    unchanged = await service.stub.UpdateWorkflow(change(workflow_id=workflow_id))
    assert unchanged == after


async def test_a_mask_can_take_concurrency_away_and_set_adopt_newest_back(service: Harness) -> None:
    workflow_id = await service.workflow()
    concurrency = messages.Concurrency(key="k", on_conflict=ON_CONFLICT_ALLOW)
    await service.stub.UpdateWorkflow(change(workflow_id=workflow_id, concurrency=concurrency, adopt_newest=True))
    after = await service.stub.UpdateWorkflow(change("concurrency", "adopt_newest", workflow_id=workflow_id))
    assert not after.HasField("concurrency")
    assert not after.adopt_newest
    assert await service.value("select concurrency is null from trigger.workflows")


async def test_a_mask_of_everything_replaces_everything(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    given = messages.Workflow(workflow_id=workflow_id, name="n", graph=graph("g"), trigger_configs=configs(EVAL={}))
    after = await service.stub.UpdateWorkflow(
        calls.UpdateWorkflowRequest(workflow=given, update_mask=FieldMask(paths=["*"]))
    )
    assert (after.name, after.graph, enabled(after)) == ("n", graph("g"), ["EVAL"])


async def test_all_faults_are_told_together_the_runners_among_them_and_nothing_is_stored(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    before = await get(service, workflow_id)
    request = change(
        workflow_id=workflow_id,
        name=" ",
        graph=graph(node_type="Nonsense"),
        trigger_configs=configs(TRAIN={})[:1],
        concurrency=messages.Concurrency(key="${", on_conflict=99),  # type: ignore[arg-type]
    )
    request.update_mask.paths.extend(["name", "graph", "trigger_configs", "concurrency", "etag", "graph.nodes"])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.UpdateWorkflow(request)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    fields = [field for field, _ in faults_of(refused.value)]
    assert fields == [
        "update_mask",
        "update_mask",
        "workflow.name",
        "workflow.concurrency.key",
        "workflow.concurrency.on_conflict",
        "workflow.trigger_configs",
        "workflow.trigger_configs",
        "workflow.graph.nodes[0].type",
    ]
    assert await get(service, workflow_id) == before


async def test_what_cannot_be_stored_is_told_beside_the_other_faults(service: Harness) -> None:
    workflow_id = await service.workflow()
    request = change(
        workflow_id=workflow_id, name="a\0b", graph=graph("a\0b"), concurrency=messages.Concurrency(key="\0")
    )
    request.workflow.trigger_configs.extend(configs(TRAIN={"condition": "((("}))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.UpdateWorkflow(request)
    assert [field for field, _ in faults_of(refused.value)] == [
        "workflow.name",
        "workflow.graph.nodes[0].properties.value",
        "workflow.concurrency.key",
        "workflow.trigger_configs[0].condition",
    ]


async def test_a_new_graph_is_not_stored_while_the_runner_is_away_and_a_new_name_is(
    service: Harness, peer: Peer
) -> None:
    workflow_id = await service.workflow()
    await peer.go_away()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.UpdateWorkflow(change(workflow_id=workflow_id, name="new", graph=graph("g")))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.UNAVAILABLE, "RUNNER_UNAVAILABLE")
    assert (await get(service, workflow_id)).name == "w"
    assert (await service.stub.UpdateWorkflow(change(workflow_id=workflow_id, name="new"))).name == "new"


async def test_the_runners_warnings_about_a_new_graph_come_as_metadata(service: Harness) -> None:
    workflow_id = await service.workflow()
    two = graph()
    two.nodes.add(id="m", type="Output")
    call = service.stub.UpdateWorkflow(change(workflow_id=workflow_id, graph=two))
    await call
    assert ("wakepoint-warning", "looks odd") in list(await call.trailing_metadata() or ())


async def test_of_two_editors_of_one_reading_the_second_reads_again(service: Harness) -> None:
    workflow_id = await service.workflow()
    read = await get(service, workflow_id)
    await service.stub.UpdateWorkflow(change(workflow_id=workflow_id, name="mine", etag=read.etag))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.UpdateWorkflow(change(workflow_id=workflow_id, name="yours", etag=read.etag))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    again = await get(service, workflow_id)
    assert again.name == "mine"
    await service.stub.UpdateWorkflow(change(workflow_id=workflow_id, name="yours", etag=again.etag))


async def test_of_many_editors_at_once_exactly_one_wins(service: Harness) -> None:
    workflow_id = await service.workflow()
    etag = (await get(service, workflow_id)).etag

    async def edit(number: int) -> str:
        try:
            await service.stub.UpdateWorkflow(change(workflow_id=workflow_id, graph=graph(f"g{number}"), etag=etag))
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    assert sorted(await asyncio.gather(*map(edit, range(8)))) == ["ABORTED"] * 7 + ["OK"]
    assert await service.value("select version from trigger.workflows") == 2


async def test_editors_without_etags_lose_nothing_of_each_others_fields(service: Harness) -> None:
    workflow_id = await service.workflow()
    edits: list[dict[str, Any]] = [
        {"name": "new"},
        {"graph": graph("g")},
        {"adopt_newest": True},
        {"trigger_configs": configs(EVAL={})},
    ]
    await asyncio.gather(*(service.stub.UpdateWorkflow(change(workflow_id=workflow_id, **edit)) for edit in edits))
    after = await get(service, workflow_id)
    assert (after.name, after.graph, after.adopt_newest, enabled(after)) == ("new", graph("g"), True, ["EVAL"])


async def test_a_firing_runs_the_graph_that_was_current_at_its_match(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    [first] = (await service.report(job_id="j1")).firings
    for value in ("second", "second", "third"):
        await service.stub.UpdateWorkflow(change(workflow_id=workflow_id, graph=graph(value)))
    await service.stub.UpdateWorkflow(change(workflow_id=workflow_id, name="only the name"))
    [second] = (await service.report(job_id="j2")).firings
    assert [first.workflow_version, second.workflow_version] == [1, 3]
    await service.dispatcher().dispatch_once()
    sent: dict[str, Graph] = {}
    for batch in peer.batches:
        sent |= {item.request_id: batch.graphs[item.graph_hash] for item in batch.requests}
    assert sent == {first.firing_id: graph("w"), second.firing_id: graph("third")}


async def test_an_unknown_or_a_deleted_workflow_and_another_experiments_are_not_found(service: Harness) -> None:
    workflow_id = await service.workflow(name="secret")
    deleted = await service.workflow()
    await service.stub.DeleteWorkflow(calls.DeleteWorkflowRequest(workflow_id=deleted))
    for request in [
        change(name="x"),
        change(workflow_id="17", name="x"),
        change(workflow_id=NOBODY, name="x"),
        change(workflow_id=deleted, name="x"),
        change(workflow_id=workflow_id, name="x", experiment_id="e2"),
        calls.UpdateWorkflowRequest(
            workflow=messages.Workflow(workflow_id=workflow_id, name="x", experiment_id="e1"), experiment_id="e2"
        ),
        calls.UpdateWorkflowRequest(
            workflow=messages.Workflow(workflow_id=workflow_id, graph=graph(node_type="No"), experiment_id="e2")
        ),
    ]:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.stub.UpdateWorkflow(request)
        assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")
        assert "secret" not in (refused.value.details() or "")
    assert (await get(service, workflow_id)).name == "secret"


async def test_enabling_a_trigger_by_either_way_clears_why_they_were_off(service: Harness) -> None:
    for way in ("change", "switch"):
        workflow_id = await service.workflow(name=way)
        await service.execute("update trigger.workflows set disabled_reason = 'refused'")
        if way == "change":
            after = await service.stub.UpdateWorkflow(
                change(workflow_id=workflow_id, trigger_configs=configs(TRAIN={}))
            )
        else:
            [after] = (await service.stub.BatchUpdateTriggerConfigs(switch([workflow_id]))).workflows
        assert after.disabled_reason == ""


def switch(
    workflow_ids: list[str], *, is_enabled: bool = True, experiment_id: str = "e1", trigger_type: str = "TRAIN"
) -> calls.BatchUpdateTriggerConfigsRequest:
    return calls.BatchUpdateTriggerConfigsRequest(
        experiment_id=experiment_id, workflow_ids=workflow_ids, trigger_type=trigger_type, is_enabled=is_enabled
    )


async def test_one_switch_turns_on_and_off_whichever_are_named_in_the_order_asked_for(service: Harness) -> None:
    made = [await service.workflow(name=f"w{number}", EVAL={"condition": "job.attempt > 1"}) for number in range(4)]
    asked = [made[2], made[0], made[2]]
    answer = await service.stub.BatchUpdateTriggerConfigs(switch(asked))
    assert [workflow.workflow_id for workflow in answer.workflows] == asked
    assert [enabled(await get(service, one)) for one in made] == [["TRAIN", "EVAL"], ["EVAL"]] * 2
    assert {firing.workflow_id for firing in (await service.report()).firings} == {made[0], made[2]}
    await service.stub.BatchUpdateTriggerConfigs(switch([], trigger_type="EVAL", is_enabled=False))
    assert [enabled(await get(service, one)) for one in made] == [["TRAIN"], []] * 2
    # What is off keeps its options.
    assert (await get(service, made[1])).trigger_configs[4].condition == "job.attempt > 1"


async def test_without_names_all_of_the_experiment_are_switched_oldest_first_and_no_others(service: Harness) -> None:
    made = [await service.workflow(name=f"w{number}") for number in range(3)]
    other = await service.workflow(experiment_id="e2")
    gone = await service.workflow()
    await service.stub.DeleteWorkflow(calls.DeleteWorkflowRequest(workflow_id=gone))
    answer = await service.stub.BatchUpdateTriggerConfigs(switch([]))
    assert [workflow.workflow_id for workflow in answer.workflows] == made
    assert enabled(await get(service, other)) == []
    assert not (await service.stub.BatchUpdateTriggerConfigs(switch([], experiment_id="empty"))).workflows


async def test_a_switch_advances_the_experiments_revision_once_and_only_where_something_changes(
    service: Harness,
) -> None:
    made = [await service.workflow(name=f"w{number}") for number in range(3)]
    revision = "select revision from trigger.experiments where experiment_id = 'e1'"
    before = await service.value(revision)
    answer = await service.stub.BatchUpdateTriggerConfigs(switch(made))
    assert await service.value(revision) == before + 1
    again = await service.stub.BatchUpdateTriggerConfigs(switch(made))
    assert (await service.value(revision), again) == (before + 1, answer)


async def test_one_that_is_missing_or_anothers_leaves_all_as_they_were(service: Harness) -> None:
    mine, foreign = await service.workflow(), await service.workflow(experiment_id="e2", name="secret")
    for missing in (NOBODY, "17", foreign):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.stub.BatchUpdateTriggerConfigs(switch([mine, missing]))
        assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")
        assert missing in (refused.value.details() or "")
        assert "secret" not in (refused.value.details() or "")
    assert [enabled(await get(service, one)) for one in (mine, foreign)] == [[], []]


async def test_every_fault_of_a_switch_is_named(service: Harness) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.BatchUpdateTriggerConfigs(
            calls.BatchUpdateTriggerConfigsRequest(workflow_ids=["x"] * 1001, trigger_type="X")
        )
    assert faults_of(refused.value) == [
        ("experiment_id", "must not be empty"),
        ("workflow_ids", "must not be more than 1000"),
        ("trigger_type", "Invalid trigger_type: X"),
        ("is_enabled", "must be a boolean"),
    ]


async def test_an_experiment_too_large_and_an_answer_too_large_change_nothing(
    service: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await service.workflow(name=f"w{number}") for number in range(3)]

    async def is_refused(reason: str) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.stub.BatchUpdateTriggerConfigs(switch([]))
        assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
        assert [enabled(await get(service, one)) for one in made] == [[]] * 3

    monkeypatch.setattr(changes, "MAX_ANSWER_BYTES", 300)
    await is_refused("ANSWER_TOO_LARGE")
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MAX_BATCH", 2)
    await is_refused("TOO_MANY_WORKFLOWS")


@pytest.mark.parametrize("stored", [None, "not json", {}, [5, "x", {"trigger_type": ["TRAIN"]}], []])
async def test_what_is_stored_damaged_can_be_switched(service: Harness, stored: Any) -> None:
    workflow_id = await service.workflow()
    await service.execute("update trigger.workflows set trigger_configs = $1", stored)
    [after] = (await service.stub.BatchUpdateTriggerConfigs(switch([workflow_id]))).workflows
    assert [config.trigger_type for config in after.trigger_configs] == list(TYPES)
    assert enabled(after) == ["TRAIN"]


async def test_a_switch_does_not_turn_a_trigger_on_without_its_damaged_option(service: Harness) -> None:
    workflow_id = await service.workflow()
    await service.execute(
        "update trigger.workflows set trigger_configs = $1",
        [{"trigger_type": "TRAIN", "is_enabled": False, "condition": 5}],
    )
    [after] = (await service.stub.BatchUpdateTriggerConfigs(switch([workflow_id]))).workflows
    assert enabled(after) == []
    assert not (await service.report()).firings


async def test_switches_of_the_same_workflows_in_any_order_at_once_never_deadlock(service: Harness) -> None:
    made = [await service.workflow(name=f"w{number}", TRAIN={}) for number in range(6)]
    before = await service.value("select deadlocks from pg_stat_database where datname = current_database()")

    async def turn(number: int) -> None:
        chosen = made if number % 2 else made[::-1]
        await service.stub.BatchUpdateTriggerConfigs(switch(chosen, trigger_type=TYPES[number % 6]))
        await service.stub.UpdateWorkflow(change(workflow_id=made[number % 6], name=f"n{number}"))

    await asyncio.gather(*map(turn, range(12)), *(service.report(job_id=f"j{number}") for number in range(20)))
    assert [enabled(await get(service, one)) for one in made] == [list(TYPES)] * 6
    await service.execute("select pg_stat_clear_snapshot()")
    assert await service.value("select deadlocks from pg_stat_database where datname = current_database()") == before


async def test_the_client_changes_what_it_read_guarded_by_what_it_read(service: Harness) -> None:
    workflow_id = await service.workflow()
    async with Client(trigger_address=service.address) as client:
        read, stale = [await client.get_workflow(workflow_id) for _ in range(2)]
        read.name, read.adopt_newest = "new", True
        changed = await client.update_workflow(read, "name")
        assert (changed.name, changed.adopt_newest) == ("new", False)
        stale.name = "late"
        with pytest.raises(Aborted):
            await client.update_workflow(stale, "name")
        assert (await client.update_workflow(stale, "name", etag="")).name == "late"
        assert stale.etag != ""
        with pytest.raises(InvalidArgument) as refused:
            await client.update_workflow(messages.Workflow(workflow_id=workflow_id), "name", "graph")
        assert [fault.field for fault in refused.value.violations] == ["workflow.name", "workflow.graph.nodes"]
        with pytest.raises(NotFound):
            await client.update_workflow(read, "name", experiment_id="e2")


async def test_the_client_switches_a_trigger_of_an_experiment(service: Harness) -> None:
    made = [await service.workflow(name=f"w{number}") for number in range(2)]
    async with Client(trigger_address=service.address) as client:
        switched = await client.switch_trigger("TRAIN", True, experiment_id="e1")
        assert [(one.workflow_id, enabled(one)) for one in switched] == [(one, ["TRAIN"]) for one in made]
        [off] = await client.switch_trigger("TRAIN", False, experiment_id="e1", workflow_ids=made[:1])
        assert enabled(off) == []
