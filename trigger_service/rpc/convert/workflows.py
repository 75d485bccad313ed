"""Workflows, blueprints and trigger configs."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration

from trigger_service.domain.blueprints import Blueprint
from trigger_service.domain.concurrency import Concurrency, read_concurrency
from trigger_service.domain.configs import TriggerConfig, WhilePaused
from trigger_service.domain.workflows import Workflow
from trigger_service.rpc.convert.graphs import graph_from_json, graph_to_json
from trigger_service.usecases.create_workflow import NewWorkflowRequest
from wakepoint.chassis.errors import InvalidArgument, Violations
from wakepoint.chassis.protojson import check_text, datetime_to_timestamp, timedelta_to_duration, timestamp_to_datetime
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.workflow.v1 import execution_pb2 as execution

_WHILE_PAUSED = {
    None: messages.WHILE_PAUSED_UNSPECIFIED,
    WhilePaused.HOLD: messages.WHILE_PAUSED_HOLD,
    WhilePaused.DROP_AND_RECORD: messages.WHILE_PAUSED_DROP_AND_RECORD,
}


def new_workflow(request: calls.CreateWorkflowRequest) -> NewWorkflowRequest:
    """A request to create a workflow. InvalidArgument names every value that cannot be stored."""
    configs = [config_to_json(config, f"trigger_configs[{i}]") for i, config in enumerate(request.trigger_configs)]
    faults = Violations()
    texts = {"request_id": request.request_id, "experiment_id": request.experiment_id, "name": request.name}
    check_text({**texts, "trigger_configs": configs}, "", faults)
    faults.raise_if_any()
    graph = graph_to_json(request.graph)
    return NewWorkflowRequest(request.request_id, request.experiment_id, request.name, graph, configs)


def given_configs(request: calls.UpdateTriggerConfigsRequest | calls.BacktestTriggersRequest) -> list[dict[str, Any]]:
    """The configs of a request as untrusted JSON, to be validated."""
    configs = [config_to_json(config, f"configs[{index}]") for index, config in enumerate(request.configs)]
    faults = Violations()
    check_text(configs, "configs", faults)
    faults.raise_if_any()
    return configs


def config_to_json(config: messages.TriggerConfig, path: str) -> dict[str, Any]:
    """A config as untrusted JSON: is_enabled is missing where it is missing."""
    found: dict[str, Any] = {"trigger_type": config.trigger_type}
    if config.HasField("is_enabled"):
        found["is_enabled"] = config.is_enabled
    for name in ("condition", "job_name_pattern"):
        if getattr(config, name):
            found[name] = getattr(config, name)
    for name in ("on_statuses", "source_experiment_ids"):
        if getattr(config, name):
            found[name] = list(getattr(config, name))
    if config.HasField("expire_time"):
        found["expire_time"] = timestamp_to_datetime(config.expire_time, f"{path}.expire_time").isoformat()
    return found | _state_options(config)


def _state_options(config: messages.TriggerConfig) -> dict[str, Any]:
    """The options that need state, as far as they are given. A span that is none stays text that is refused by name."""
    found: dict[str, Any] = {}
    if config.HasField("delay"):
        found["delay"] = _span(config.delay)
    if config.HasField("debounce"):
        names = [name for name in ("quiet_period", "max_wait") if config.debounce.HasField(name)]
        found["debounce"] = {name: _span(getattr(config.debounce, name)) for name in names}
    if config.max_firings:
        found["max_firings"] = config.max_firings
    if config.HasField("rate_limit"):
        found["rate_limit"] = {"max_firings": config.rate_limit.max_firings}
        if config.rate_limit.HasField("window"):
            found["rate_limit"]["window"] = _span(config.rate_limit.window)
    if config.while_paused:
        known = messages.WhilePaused.DESCRIPTOR.values_by_number.get(config.while_paused)
        found["while_paused"] = known.name if known else str(config.while_paused)
    return found


def _span(duration: Duration) -> str:
    try:
        return duration.ToJsonString()
    except ValueError:
        return f"{duration.seconds} s and {duration.nanos} ns"


def config_to_message(config: TriggerConfig) -> messages.TriggerConfig:
    """A well-formed config as a message."""
    message = messages.TriggerConfig(
        trigger_type=config.trigger_type,
        is_enabled=config.is_enabled,
        condition=config.condition,
        job_name_pattern=config.job_name_pattern,
        on_statuses=config.on_statuses,
        source_experiment_ids=config.source_experiment_ids,
        max_firings=config.max_firings,
        while_paused=_WHILE_PAUSED[config.while_paused],
    )
    if config.expire_time is not None:
        message.expire_time.CopyFrom(datetime_to_timestamp(config.expire_time))
    if config.delay is not None:
        message.delay.CopyFrom(timedelta_to_duration(config.delay))
    if config.debounce is not None:
        message.debounce.quiet_period.CopyFrom(timedelta_to_duration(config.debounce.quiet_period))
        if config.debounce.max_wait is not None:
            message.debounce.max_wait.CopyFrom(timedelta_to_duration(config.debounce.max_wait))
    if config.rate_limit is not None:
        message.rate_limit.max_firings = config.rate_limit.max_firings
        message.rate_limit.window.CopyFrom(timedelta_to_duration(config.rate_limit.window))
    return message


def while_paused_of(number: int) -> WhilePaused:
    """What a pause does with matches. InvalidArgument for a number that names nothing."""
    for mode, known in _WHILE_PAUSED.items():
        if known == number:
            return mode or WhilePaused.HOLD
    raise InvalidArgument.of("while_paused", f"must be one of {', '.join(WhilePaused)}")


def workflow_to_message(workflow: Workflow) -> messages.Workflow:
    """A workflow as callers see it."""
    message = messages.Workflow(
        workflow_id=str(workflow.workflow_id),
        experiment_id=workflow.experiment_id,
        name=workflow.name,
        graph=graph_from_json(workflow.graph),
        trigger_configs=[config_to_message(config) for config in workflow.trigger_configs],
        adopt_newest=workflow.adopt_newest,
        etag=workflow.etag,
        create_time=datetime_to_timestamp(workflow.create_time),
        update_time=datetime_to_timestamp(workflow.update_time),
        disabled_reason=workflow.disabled_reason or "",
        paused=workflow.paused,
    )
    concurrency = _readable(workflow.concurrency)
    if concurrency is not None:
        message.concurrency.key = concurrency.key
        message.concurrency.on_conflict = execution.OnConflict.Value(f"ON_CONFLICT_{concurrency.on_conflict}")
    return message


def _readable(stored: object) -> Concurrency | None:
    # A damaged value, which only foreign SQL can have stored, breaks no list; its firings say what is wrong with it.
    try:
        return read_concurrency(stored)
    except ValueError:
        return None


def blueprint_to_message(blueprint: Blueprint) -> messages.TriggerBlueprint:
    """A trigger type on offer."""
    return messages.TriggerBlueprint(
        trigger_type=blueprint.trigger_type,
        name=blueprint.name,
        description=blueprint.description,
        default_is_enabled=blueprint.default_is_enabled,
    )
