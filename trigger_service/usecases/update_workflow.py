"""UpdateWorkflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from trigger_service.domain.concurrency import check_concurrency
from trigger_service.domain.config_checks import check_configs
from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.workflows import Workflow, check_graph, check_name, digest
from trigger_service.storage import workflows
from trigger_service.usecases.environment import Environment, known_id, not_found
from trigger_service.usecases.find_cycle import cycle_warnings
from trigger_service.usecases.update_trigger_configs import require_etag
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import FieldViolation, InvalidArgument, Unavailable, Violations

FIELDS = ("name", "graph", "trigger_configs", "concurrency", "adopt_newest")
"""What of a workflow can be changed."""


@dataclass(frozen=True, slots=True)
class WorkflowChange:
    """`fields`: the new values by name, untrusted JSON; what is not there stays. `faults`: what no field can hold."""

    workflow_id: str
    experiment_id: str
    etag: str
    fields: Mapping[str, Any]
    faults: Sequence[FieldViolation] = ()


async def update_workflow(env: Environment, change: WorkflowChange) -> tuple[Workflow, Sequence[str]]:
    """Change some fields of a workflow, and say what looks odd about it then. Its version counts changes of the graph.

    InvalidArgument names every fault, those that the runner finds in the graph included; NotFound; Aborted when an etag
    is given and is not the current one; Unavailable: the runner cannot be asked, nothing is stored.
    """
    key = known_id(change.workflow_id, "workflow")
    async with env.database.connection() as connection:
        known = await _existing(connection, key, change.experiment_id)
    faults = Violations()
    faults.extend(change.faults)
    edit = _checked(env, change.fields, faults)
    warnings = await _ask_runner(env, edit.graph, known.experiment_id, faults)
    faults.raise_if_any()

    async def work(connection: Connection) -> Workflow:
        await workflows.lock(connection, key, change.experiment_id)
        require_etag(change.etag, (await _existing(connection, key, change.experiment_id)).etag)
        await workflows.update(connection, key, edit)
        return await _existing(connection, key, change.experiment_id)

    workflow = await env.database.run(work)
    # What else changes starts no job and is started by none.
    is_rewired = not {"graph", "trigger_configs"}.isdisjoint(change.fields)
    return workflow, [*warnings, *(await cycle_warnings(env, key) if is_rewired else ())]


async def _existing(connection: Connection, workflow_id: UUID, experiment_id: str) -> Workflow:
    workflow = await workflows.get(connection, workflow_id, experiment_id)
    if workflow is None:
        raise not_found(workflow_id, "workflow")
    return workflow


def _checked(env: Environment, fields: Mapping[str, Any], faults: Violations) -> workflows.Edit:
    """What is to be stored; the graph only when the runner can be asked about it."""
    if "name" in fields:
        check_name(fields["name"], faults, "workflow.name")
    graph = fields.get("graph")
    askable = graph if graph is not None and check_graph(graph, faults, "workflow.graph") else None
    concurrency = check_concurrency(
        fields.get("concurrency"), env.overlap.problem_of, faults, field="workflow.concurrency"
    )
    return workflows.Edit(
        name=fields.get("name"),
        graph=askable,
        graph_hash=None if askable is None else digest(askable),
        configs=_configs(env, fields["trigger_configs"], faults) if "trigger_configs" in fields else None,
        sets_concurrency="concurrency" in fields,
        concurrency=None if concurrency is None else concurrency.to_stored(),
        adopt_newest=fields.get("adopt_newest"),
    )


def _configs(env: Environment, given: object, faults: Violations) -> Sequence[TriggerConfig]:
    try:
        return check_configs(given, env.blueprints, env.conditions.problem_of, field="workflow.trigger_configs")
    except InvalidArgument as error:
        faults.extend(error.violations)
        return ()


async def _ask_runner(
    env: Environment, graph: dict[str, Any] | None, experiment_id: str, faults: Violations
) -> Sequence[str]:
    if graph is None:
        return ()
    try:
        report = await env.graphs.check_graph(graph, experiment_id)
    except Unavailable:
        # What is wrong already is wrong whatever the runner would add.
        faults.raise_if_any()
        raise
    faults.extend(FieldViolation(f"workflow.{found.field}", found.description) for found in report.violations)
    return report.warnings
