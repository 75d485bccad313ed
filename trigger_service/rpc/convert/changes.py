"""Requests to change workflows, and the answer about many of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trigger_service.domain.limits import MAX_ANSWER_BYTES
from trigger_service.domain.workflows import Workflow
from trigger_service.rpc.convert.graphs import graph_to_json
from trigger_service.rpc.convert.workflows import config_to_json, workflow_to_message
from trigger_service.usecases.environment import not_found
from trigger_service.usecases.switch_triggers import Switch
from trigger_service.usecases.update_workflow import FIELDS, WorkflowChange
from wakepoint.chassis.errors import FailedPrecondition, InvalidArgument, Violations
from wakepoint.chassis.protojson import check_text
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.workflow.v1 import execution_pb2 as execution


def workflow_change(request: calls.UpdateWorkflowRequest) -> WorkflowChange:
    """What is to become of a workflow. What cannot be stored is noted in its faults, so that all are told at once."""
    faults = Violations()
    texts = {"experiment_id": request.experiment_id, "workflow": {"experiment_id": request.workflow.experiment_id}}
    check_text(texts, "", faults)
    # An experiment that cannot be stored has no workflows: the faults are told before anybody looks.
    faults.raise_if_any()
    fields: dict[str, Any] = {}
    for name in _named(request, faults):
        value = _value(request.workflow, name, faults)
        if value is not _FAULTY:
            fields[name] = value
    return WorkflowChange(
        request.workflow.workflow_id, _experiment_of(request), request.workflow.etag, fields, tuple(faults)
    )


def switch_of(request: calls.BatchUpdateTriggerConfigsRequest) -> Switch:
    """One trigger, on or off, for many workflows."""
    return Switch(
        request.experiment_id,
        list(request.workflow_ids),
        request.trigger_type,
        request.is_enabled if request.HasField("is_enabled") else None,
    )


def switched_to_message(workflows: Sequence[Workflow]) -> calls.BatchUpdateTriggerConfigsResponse:
    """The answer. FailedPrecondition when no message can hold it."""
    answer = calls.BatchUpdateTriggerConfigsResponse(workflows=map(workflow_to_message, workflows))
    if answer.ByteSize() > MAX_ANSWER_BYTES:
        raise FailedPrecondition(
            "these workflows are too large to be answered at once: name fewer of them", reason="ANSWER_TOO_LARGE"
        )
    return answer


_FAULTY: Any = object()


def _experiment_of(request: calls.UpdateWorkflowRequest) -> str:
    outer, inner = request.experiment_id, request.workflow.experiment_id
    if outer and inner and outer != inner:
        raise not_found(request.workflow.workflow_id, "workflow")
    return outer or inner


def _named(request: calls.UpdateWorkflowRequest, faults: Violations) -> list[str]:
    """The fields to change, each once."""
    workflow, paths = request.workflow, list(dict.fromkeys(request.update_mask.paths))
    if paths == ["*"]:
        return list(FIELDS)
    for path in paths:
        if path not in FIELDS:
            faults.add("update_mask", f"{path[:100]!r} is none of {', '.join(FIELDS)}")
    set_fields = {field.name for field, _ in workflow.ListFields()}
    return [name for name in FIELDS if name in (paths or set_fields)]


def _value(workflow: messages.Workflow, name: str, faults: Violations) -> Any:
    at, before = f"workflow.{name}", len(faults)
    try:
        value = _untrusted(workflow, name, at)
    except InvalidArgument as error:
        faults.extend(error.violations)
        return _FAULTY
    if name != "graph":
        check_text(value, at, faults)
    return value if len(faults) == before else _FAULTY


def _untrusted(workflow: messages.Workflow, name: str, at: str) -> Any:
    match name:
        case "graph":
            return graph_to_json(workflow.graph, at)
        case "trigger_configs":
            return [config_to_json(config, f"{at}[{index}]") for index, config in enumerate(workflow.trigger_configs)]
        case "concurrency":
            return _concurrency(workflow.concurrency) if workflow.HasField("concurrency") else None
        case _:
            return getattr(workflow, name)


def _concurrency(concurrency: messages.Concurrency) -> dict[str, Any]:
    known = execution.OnConflict.DESCRIPTOR.values_by_number.get(concurrency.on_conflict)
    return {"key": concurrency.key, "on_conflict": known.name if known else str(concurrency.on_conflict)}
