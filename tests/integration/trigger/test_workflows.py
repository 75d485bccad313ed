import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest

from tests.integration.trigger.harness import TYPES, Harness, configs, faults_of, graph, reason_of
from tests.integration.trigger.peer import Peer
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls


def creation(**changes: object) -> calls.CreateWorkflowRequest:
    given = {"experiment_id": "e1", "name": "w", "graph": graph(), **changes}
    return calls.CreateWorkflowRequest(**given)  # type: ignore[arg-type]


async def test_a_new_workflow_has_every_blueprints_default_and_can_be_read_again(service: Harness) -> None:
    created = (await service.stub.CreateWorkflow(creation())).workflow
    assert [(c.trigger_type, c.is_enabled) for c in created.trigger_configs] == [(kind, False) for kind in TYPES]
    read = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=created.workflow_id))
    assert read == created
    assert read.graph == graph()


async def test_blueprints_that_a_new_workflow_does_not_name_get_their_default(service: Harness) -> None:
    created = (await service.stub.CreateWorkflow(creation(trigger_configs=configs(EVAL={})[4:5]))).workflow
    assert [c.trigger_type for c in created.trigger_configs] == list(TYPES)
    assert [c.trigger_type for c in created.trigger_configs if c.is_enabled] == ["EVAL"]


async def test_the_runners_warnings_are_passed_on(service: Harness) -> None:
    two = graph()
    two.nodes.add(id="m", type="Output")
    assert (await service.stub.CreateWorkflow(creation(graph=two))).warnings == ["looks odd"]


async def test_every_fault_is_named_those_that_the_runner_finds_among_them(service: Harness) -> None:
    request = creation(
        experiment_id="",
        name=" ",
        graph=graph(node_type="Nonsense"),
        trigger_configs=[*configs(TRAIN={}), *configs(TRAIN={})[:1]],
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.CreateWorkflow(request)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert faults_of(refused.value) == [
        ("experiment_id", "must not be empty"),
        ("name", "must not be empty"),
        ("trigger_configs[6].trigger_type", "Duplicate trigger_type: TRAIN"),
        ("graph.nodes[0].type", "unknown type Nonsense"),
    ]
    assert await service.value("select count(*) from trigger.workflows") == 0
    assert await service.value("select count(*) from trigger.graphs") == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "a\0b"}, "name"),
        ({"graph": graph("a\0b")}, "graph.nodes[0].properties.value"),
        ({"trigger_configs": configs(TRAIN={"condition": "\0"})}, "trigger_configs[0].condition"),
    ],
)
async def test_a_nul_anywhere_is_refused_and_named(service: Harness, changes: dict[str, object], field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.CreateWorkflow(creation(**changes))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert [path for path, _ in faults_of(refused.value)] == [field]


async def test_without_the_runner_nothing_is_stored(service: Harness, peer: Peer) -> None:
    await peer.go_away()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.CreateWorkflow(creation())
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.UNAVAILABLE, "RUNNER_UNAVAILABLE")
    assert await service.value("select count(*) from trigger.workflows") == 0


async def test_a_request_id_creates_one_workflow_however_often_and_at_once_it_comes(service: Harness) -> None:
    request = creation(request_id="r1")
    answers = await asyncio.gather(*(service.stub.CreateWorkflow(request) for _ in range(20)))
    assert len({answer.workflow.workflow_id for answer in answers}) == 1
    assert await service.value("select count(*) from trigger.workflows") == 1


async def test_a_request_id_is_known_again_while_the_runner_is_away(service: Harness, peer: Peer) -> None:
    created = await service.stub.CreateWorkflow(creation(request_id="r1"))
    await peer.go_away()
    again = await service.stub.CreateWorkflow(creation(request_id="r1"))
    assert again.workflow == created.workflow


async def test_a_request_id_with_another_body_is_refused_and_in_another_experiment_is_another(
    service: Harness,
) -> None:
    await service.stub.CreateWorkflow(creation(request_id="r1"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.CreateWorkflow(creation(request_id="r1", name="other"))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    await service.stub.CreateWorkflow(creation(request_id="r1", experiment_id="e2"))


def calls_about(service: Harness, workflow_id: str, experiment_id: str = "") -> list[Awaitable[object]]:
    """One call of each method that names a workflow."""
    named: dict[str, Any] = {"workflow_id": workflow_id, "experiment_id": experiment_id}
    return [
        service.stub.GetWorkflow(calls.GetWorkflowRequest(**named)),
        service.stub.DeleteWorkflow(calls.DeleteWorkflowRequest(**named)),
        service.stub.RunWorkflow(calls.RunWorkflowRequest(**named)),
        service.stub.UpdateTriggerConfigs(calls.UpdateTriggerConfigsRequest(**named, configs=configs())),
    ]


@pytest.mark.parametrize("workflow_id", ["", "17", "../x", "018f0000-0000-7000-8000-000000000000"])
async def test_an_unknown_workflow_is_not_found(service: Harness, workflow_id: str) -> None:
    for call in calls_about(service, workflow_id):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")


async def test_another_experiments_workflow_is_not_found(service: Harness) -> None:
    workflow_id = await service.workflow(experiment_id="e1")
    for call in calls_about(service, workflow_id, experiment_id="e2"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_configs_are_replaced_as_a_whole_and_the_etag_changes(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    before = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    after = await service.stub.UpdateTriggerConfigs(
        calls.UpdateTriggerConfigsRequest(
            workflow_id=workflow_id, configs=configs(EVAL={"condition": "job.attempt > 1"}), etag=before.etag
        )
    )
    assert [c.trigger_type for c in after.trigger_configs if c.is_enabled] == ["EVAL"]
    assert after.trigger_configs[4].condition == "job.attempt > 1"
    assert after.etag != before.etag
    assert after == await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))


async def test_a_stale_etag_changes_nothing(service: Harness) -> None:
    workflow_id = await service.workflow()
    before = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    update = calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs(TRAIN={}), etag=before.etag)
    current = await service.stub.UpdateTriggerConfigs(update)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.UpdateTriggerConfigs(update)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert current == await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))


async def test_of_many_updates_with_one_etag_exactly_one_wins(service: Harness) -> None:
    workflow_id = await service.workflow()
    before = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))

    async def update(kind: str) -> str:
        request = calls.UpdateTriggerConfigsRequest(
            workflow_id=workflow_id, configs=configs(**{kind: {}}), etag=before.etag
        )
        try:
            await service.stub.UpdateTriggerConfigs(request)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    outcomes = await asyncio.gather(*(update(kind) for kind in TYPES))
    assert sorted(outcomes) == ["ABORTED"] * 5 + ["OK"]


async def test_a_faulty_update_names_every_fault(service: Harness) -> None:
    workflow_id = await service.workflow()
    given = [
        messages.TriggerConfig(trigger_type="TRAIN"),
        messages.TriggerConfig(trigger_type="TRAIN", is_enabled=True, max_firings=-3),
        messages.TriggerConfig(trigger_type="X", is_enabled=True),
    ]
    given[1].delay.FromSeconds(-5)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.UpdateTriggerConfigs(
            calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=given)
        )
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert sorted(faults_of(refused.value)) == sorted(
        [
            ("configs", "exactly 6 trigger configurations are required, not 3"),
            ("configs", "Missing trigger_type: DOWNLOAD_MODEL, LOAD_MODEL, EXPORT_MODEL, EVAL, GENERATE"),
            ("configs[0].is_enabled", "must be a boolean"),
            ("configs[1].trigger_type", "Duplicate trigger_type: TRAIN"),
            ("configs[1].delay", "must not be negative"),
            ("configs[1].max_firings", "must be a whole number from 0 to 2147483647"),
            ("configs[2].trigger_type", "Invalid trigger_type: X"),
        ]
    )


async def test_a_deleted_workflow_is_gone_from_every_answer(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    deleted = await service.stub.DeleteWorkflow(calls.DeleteWorkflowRequest(workflow_id=workflow_id))
    assert deleted.workflow_id == workflow_id
    for call in calls_about(service, workflow_id):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert not (await service.stub.ListWorkflows(calls.ListWorkflowsRequest())).workflows
    assert not (await service.report()).firings


async def test_pages_show_every_workflow_once_oldest_first(service: Harness) -> None:
    made = [await service.workflow(name=f"w{number}") for number in range(7)]
    await service.workflow(experiment_id="e2")
    seen: list[str] = []
    token = ""
    while True:
        page = await service.stub.ListWorkflows(
            calls.ListWorkflowsRequest(experiment_id="e1", page_size=3, page_token=token)
        )
        seen += [workflow.workflow_id for workflow in page.workflows]
        token = page.next_page_token
        if not token:
            break
        await service.workflow(name="came later")
    assert seen == made


async def test_another_querys_page_token_is_refused(service: Harness) -> None:
    for number in range(3):
        await service.workflow(name=f"w{number}")
    page = await service.stub.ListWorkflows(calls.ListWorkflowsRequest(experiment_id="e1", page_size=1))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.ListWorkflows(
            calls.ListWorkflowsRequest(experiment_id="e2", page_size=1, page_token=page.next_page_token)
        )
    assert [field for field, _ in faults_of(refused.value)] == ["page_token"]


async def test_workflows_can_be_listed_by_an_enabled_trigger(service: Harness) -> None:
    trained = await service.workflow(TRAIN={})
    await service.workflow(EVAL={})
    page = await service.stub.ListWorkflows(calls.ListWorkflowsRequest(trigger_type="TRAIN"))
    assert [workflow.workflow_id for workflow in page.workflows] == [trained]


async def test_blueprints_are_listed_in_order_with_their_texts(service: Harness) -> None:
    answer = await service.stub.ListTriggerBlueprints(calls.ListTriggerBlueprintsRequest())
    assert [blueprint.trigger_type for blueprint in answer.blueprints] == list(TYPES)
    assert answer.blueprints[0].name == "On Training Completed"
    assert answer.blueprints[0].description == "Starts the workflow when a training job in its experiment completes."
