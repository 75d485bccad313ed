"""Workflows that would start themselves are warned of when they are made, naming the way."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from tests.integration.trigger.harness import Harness, configs
from trigger_service.rpc.warnings import KEY
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.workflow.v1.graph_pb2 import Graph


def runs(*job_types: Any) -> Graph:
    """A graph that runs jobs of these types one after the other, and something else beside them."""
    nodes: list[dict[str, Any]] = [{"id": "other", "type": "Constant", "properties": {"job_type": "EVAL"}}]
    nodes += [
        {"id": f"n{number}", "type": "RunJob", "properties": {"job_type": job_type}}
        for number, job_type in enumerate(job_types)
    ]
    return ParseDict({"nodes": nodes}, Graph())


async def create(
    service: Harness, name: str, graph: Graph, experiment_id: str = "e1", **enabled: dict[str, Any]
) -> tuple[str, list[str]]:
    request = calls.CreateWorkflowRequest(
        experiment_id=experiment_id, name=name, graph=graph, trigger_configs=configs(**enabled)
    )
    answer = await service.stub.CreateWorkflow(request)
    return answer.workflow.workflow_id, [text for text in answer.warnings if text != "looks odd"]


@pytest.fixture(autouse=True)
def knows_run_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.integration.trigger.peer._KNOWN_TYPES", frozenset({"Constant", "RunJob"}))


async def test_a_workflow_that_its_own_job_starts_is_warned_of(service: Harness) -> None:
    _, [warning] = await create(service, "w", runs("EVAL"), EVAL={})
    assert '"w" -EVAL-> "w"' in warning
    assert "8 runs" in warning


async def test_the_way_over_other_workflows_and_experiments_is_named_and_the_shortest(service: Harness) -> None:
    await create(service, "evaluate", runs("EVAL", "GENERATE"), TRAIN={"on_statuses": ["FAILED"]})
    await create(service, "export", runs("EXPORT_MODEL"), "e2", EVAL={"source_experiment_ids": ["e1"]})
    await create(service, "detour", runs("LOAD_MODEL"), GENERATE={})
    _, [warning] = await create(
        service, "train", runs("TRAIN"), EXPORT_MODEL={"source_experiment_ids": ["e2"]}, LOAD_MODEL={}
    )
    told = warning.split(": ", 1)[1].split(";")[0]
    assert told in (
        '"train" -TRAIN-> "evaluate" -EVAL-> "export" -EXPORT_MODEL-> "train"',
        '"train" -TRAIN-> "evaluate" -GENERATE-> "detour" -LOAD_MODEL-> "train"',
    )


@pytest.mark.parametrize(
    ("graph", "options"),
    [
        (runs(), {"EVAL": {}}),  # the Constant's property is no job
        (runs("EVAL"), {"TRAIN": {}}),
        (runs("${input.job.job_type}"), {"EVAL": {}}),  # known only when it runs
        (runs("EVAL"), {"EVAL": {"source_experiment_ids": ["e9"]}}),
    ],
)
async def test_what_does_not_lead_back_is_not_warned_of(
    service: Harness, graph: Graph, options: dict[str, dict[str, Any]]
) -> None:
    _, warnings = await create(service, "w", graph, "e1", **options)
    assert warnings == []


async def test_a_circle_that_does_not_lead_through_the_workflow_is_not_its_own(service: Harness) -> None:
    await create(service, "a", runs("EVAL"), EVAL={})
    _, warnings = await create(service, "b", runs("EVAL"), TRAIN={})
    assert warnings == []


async def test_turning_the_closing_trigger_on_is_warned_of_in_the_answers_metadata(service: Harness) -> None:
    workflow_id, warnings = await create(service, "wörk\n", runs("EVAL"))
    assert warnings == []
    request = calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs(EVAL={}))
    call = service.stub.UpdateTriggerConfigs(request)
    await call
    [told] = [value for key, value in await call.trailing_metadata() or () if key == KEY]
    assert '"w\\xf6rk\\n" -EVAL-> "w\\xf6rk\\n"' in str(told)


async def test_a_graph_that_others_damaged_causes_nothing(service: Harness) -> None:
    for damaged in ("null", "[]", '{"nodes": 5}', '{"nodes": [5, {"type": "RunJob", "properties": {"job_type": 7}}]}'):
        assert await service.value("select trigger.jobs_of_graph($1::text::jsonb)", damaged) == []
