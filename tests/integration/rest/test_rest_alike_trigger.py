"""trigger_service answers REST as it answers gRPC. Each side is asked in an experiment of its own, set up alike."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.rest.sides import TriggerSides, filled
from tests.integration.trigger.harness import TYPES
from tests.support.rest import annotated, rules_of
from wakepoint.trigger.v1 import trigger_service_pb2

SERVICE = trigger_service_pb2.DESCRIPTOR.services_by_name["TriggerService"]
GRAPH = {"nodes": [{"id": "n", "type": "Constant", "properties": {"value": 5}}]}
CONFIGS = [{"trigger_type": kind, "is_enabled": kind == "EVAL"} for kind in TYPES]
LONG_AGO = "2026-11-01T00:00:00Z"
EVENT = {"experiment_id": "{experiment}", "job_id": "j2", "job_type": "TRAIN", "status": "COMPLETE"}


@dataclass(frozen=True)
class Case:
    """A request, in which names in braces stand for what a side was set up with, and the code that both answer.

    None: whatever it is."""

    method: str
    fields: dict[str, Any] = field(default_factory=dict)
    code: int | None = 0

    def __str__(self) -> str:
        return f"{self.method}-{self.code}-{'-'.join(self.fields)}"


CASES = [
    Case("ListTriggerBlueprints"),
    Case("CreateWorkflow", {"experiment_id": "{experiment}", "name": "ä", "graph": GRAPH, "trigger_configs": CONFIGS}),
    Case("CreateWorkflow", {"experiment_id": "{experiment}", "graph": GRAPH, "trigger_configs": [{}]}, 3),
    Case("CreateWorkflow", {"experiment_id": "{experiment}", "name": "w", "graph": {"nodes": [{"type": "No"}]}}, 3),
    Case("GetWorkflow", {"workflow_id": "{workflow}"}),
    Case("GetWorkflow", {"workflow_id": "{workflow}", "experiment_id": "another"}, 5),
    Case("GetWorkflow", {"workflow_id": "no/such:one"}, 5),
    Case("ListWorkflows", {"experiment_id": "{experiment}", "trigger_type": "TRAIN", "page_size": 1}),
    Case("ListWorkflows", {"experiment_id": "{experiment}", "page_token": "forged"}, 3),
    Case("ListWorkflows", {"experiment_id": "{experiment}", "page_size": -1}, 3),
    Case("UpdateTriggerConfigs", {"workflow_id": "{workflow}", "configs": CONFIGS}),
    Case("UpdateTriggerConfigs", {"workflow_id": "{workflow}", "configs": [*CONFIGS, {"trigger_type": "NO"}]}, 3),
    Case("UpdateTriggerConfigs", {"workflow_id": "{workflow}", "configs": CONFIGS, "etag": '"99"'}, 10),
    Case("DeleteWorkflow", {"workflow_id": "{workflow}"}),
    Case("DeleteWorkflow", {"workflow_id": "{firing}"}, 5),
    Case("RunWorkflow", {"workflow_id": "{workflow}", "input": {"a": [1, 2.5, None, {"b": "c"}]}}),
    Case("RunWorkflow", {"workflow_id": "{workflow}", "input": {"a": "\0"}}, 3),
    Case("ReportJobEvent", {"event": {**EVENT, "attributes": {"accuracy": 1}, "occur_time": "2026-11-22T06:00:00Z"}}),
    Case("ReportJobEvent", {"event": {**EVENT, "job_id": "j1"}}),
    Case("ReportJobEvent", {"event": {**EVENT, "job_id": "j9", "event_id": "{event}"}}, 6),
    Case("ReportJobEvent", {"event": {"status": "DONE", "attempt": -1, "causation": {"depth": -1}}}, 3),
    Case("BatchReportJobEvents", {"events": [EVENT, {"job_id": "j"}, {**EVENT, "status": "NO"}, EVENT]}),
    Case("BatchReportJobEvents", {"events": [EVENT] * 1001}, 3),
    Case("MatchJobEvent", {"event": EVENT, "include_rejected": True}),
    Case("MatchJobEvent", {"event": {**EVENT, "job_type": "EVAL"}}),
    Case("ListFirings", {"workflow_id": "{workflow}"}),
    Case("ListFirings", {"experiment_id": "{experiment}", "states": ["FIRING_STATE_QUEUED", "FIRING_STATE_DEAD"]}),
    Case("ListFirings", {"experiment_id": "{experiment}", "states": ["FIRING_STATE_HELD"]}),
    Case("UpdateWorkflow", {"workflow": {"workflow_id": "{workflow}", "name": "new"}, "update_mask": "name"}),
    Case("UpdateWorkflow", {"workflow": {"workflow_id": "{workflow}", "graph": GRAPH, "trigger_configs": CONFIGS}}),
    Case("UpdateWorkflow", {"workflow": {"workflow_id": "{workflow}", "name": "x", "etag": '"99"'}}, 10),
    Case(
        "UpdateWorkflow", {"workflow": {"workflow_id": "{workflow}"}, "update_mask": "name,graph,adoptNewest,etag"}, 3
    ),
    Case("UpdateWorkflow", {"workflow": {"workflow_id": "{workflow}", "name": "x", "experiment_id": "another"}}, 5),
    Case("BatchUpdateTriggerConfigs", {"experiment_id": "{experiment}", "trigger_type": "EVAL", "is_enabled": True}),
    Case("BatchUpdateTriggerConfigs", {"experiment_id": "{experiment}", "trigger_type": "EVAL"}, 3),
    Case(
        "BatchUpdateTriggerConfigs",
        {"experiment_id": "a", "trigger_type": "EVAL", "is_enabled": True, "workflow_ids": ["{workflow}"]},
        5,
    ),
    Case("ExplainEvent", {"experiment_id": "{experiment}", "event_id": "{event}"}),
    Case("ExplainEvent", {"experiment_id": "another", "event_id": "{event}"}, 5),
    Case("ExplainWorkflow", {"workflow_id": "{workflow}", "page_size": 5}),
    Case("BacktestTriggers", {"workflow_id": "{workflow}", "configs": CONFIGS, "start_time": LONG_AGO}),
    Case("BacktestTriggers", {"workflow_id": "{workflow}", "configs": CONFIGS[:2], "start_time": LONG_AGO}, 3),
    Case("GetTriggerStats", {"workflow_id": "{workflow}", "window": "7200s", "bucket": "3600s"}),
    Case("GetTriggerStats", {"workflow_id": "{workflow}", "window": "-1s", "bucket": "1.5s"}, 3),
    Case("CancelFiring", {"firing_id": "{firing}"}),
    Case("CancelFiring", {"firing_id": "{workflow}"}, 5),
    Case("RetryFiring", {"firing_id": "{firing}", "experiment_id": "{experiment}"}, None),
    Case("ReplayEvents", {"experiment_id": "{experiment}", "start_time": LONG_AGO, "dry_run": True}),
    Case("ReplayEvents", {"experiment_id": "{experiment}", "start_time": LONG_AGO, "end_time": LONG_AGO}, None),
    Case("PauseTriggers", {"experiment_id": "{experiment}", "while_paused": "WHILE_PAUSED_HOLD"}),
    Case("ResumeTriggers", {"workflow_id": "{workflow}", "dry_run": True}),
]


async def set_up(sides: TriggerSides, experiment: str) -> dict[str, str]:
    """A workflow that a job has fired, in this experiment."""
    workflow_id = await sides.harness.workflow(experiment_id=experiment, TRAIN={})
    report = await sides.harness.report(experiment_id=experiment, job_id="j1")
    [firing] = report.firings
    return {
        "experiment": experiment,
        "workflow": workflow_id,
        "firing": firing.firing_id,
        "event": report.event_id,
    }


BINDINGS = [
    pytest.param(case, binding, id=f"{number}-{case}-{binding}")
    for number, case in enumerate(CASES)
    for binding in range(len(rules_of(SERVICE.methods_by_name[case.method])))
    # The path of ListFirings by workflow has no room for a request without one.
    if not (case.method == "ListFirings" and binding and "workflow_id" not in case.fields)
]


@pytest.mark.parametrize(("case", "binding"), BINDINGS)
async def test_rest_and_grpc_answer_alike(trigger: TriggerSides, case: Case, binding: int) -> None:
    first, second = await set_up(trigger, "experiment-1"), await set_up(trigger, "experiment-2")
    by_grpc = await trigger.over_grpc(case.method, trigger.message(case.method, filled(case.fields, first)))
    by_http = await trigger.over_http(case.method, trigger.message(case.method, filled(case.fields, second)), binding)
    assert case.code in (None, by_grpc.code), by_grpc.content
    assert by_http == by_grpc


@pytest.mark.parametrize("method", [rpc.name for rpc in annotated(SERVICE)])
async def test_a_request_that_says_nothing_is_answered_alike(trigger: TriggerSides, method: str) -> None:
    request = trigger.message(method, {})
    for name in ("workflow_id", "firing_id"):
        if name in request.DESCRIPTOR.fields_by_name:
            setattr(request, name, "nobody")  # a path has no room for nothing
    if method == "UpdateWorkflow":
        request = trigger.message(method, {"workflow": {"workflow_id": "nobody"}})
    assert await trigger.over_http(method, request) == await trigger.over_grpc(method, request)


def test_only_what_the_runner_tells_has_no_rest() -> None:
    assert {rpc.name for rpc in SERVICE.methods} - {rpc.name for rpc in annotated(SERVICE)} == {"ReportRunStates"}
