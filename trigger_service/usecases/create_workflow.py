"""CreateWorkflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from trigger_service.domain.config_checks import check_configs
from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.limits import MAX_GRAPH_BYTES
from trigger_service.domain.workflows import Workflow, canonical, check_workflow, digest
from trigger_service.storage import workflows
from trigger_service.usecases.environment import Environment, not_found
from trigger_service.usecases.find_cycle import cycle_warnings
from trigger_service.usecases.requests import RequestKey
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import InvalidArgument, Unavailable, Violations
from wakepoint.chassis.ids import new_id


@dataclass(frozen=True, slots=True)
class NewWorkflowRequest:
    """`graph`: its JSON form. `configs`: untrusted JSON; blueprints not named there get their default."""

    request_id: str
    experiment_id: str
    name: str
    graph: dict[str, Any]
    configs: Sequence[object]

    def key(self) -> RequestKey:
        """What makes a repetition of this request recognisable."""
        body = {"name": self.name, "graph": self.graph, "configs": list(self.configs)}
        return RequestKey.of(self.experiment_id, "CreateWorkflow", self.request_id, body)


async def create_workflow(env: Environment, request: NewWorkflowRequest) -> tuple[Workflow, Sequence[str]]:
    """Store a workflow that the runner finds sound, and say what looks odd about it.

    InvalidArgument names every fault, the graph's included. Unavailable: the runner cannot be asked, nothing is stored.
    AlreadyExists: the request_id came before with another body.
    """
    key = request.key()
    faults = Violations()
    key.check(faults)
    configs = _check(env, request, faults)
    async with env.database.connection() as connection:
        earlier = None if faults else await key.earlier_result(connection)
        if earlier is not None:
            return await _stored(connection, earlier), ()
    warnings = await _ask_runner(env, request, faults)
    faults.raise_if_any()
    new = workflows.NewWorkflow(
        UUID(new_id()), request.experiment_id, request.name, request.graph, digest(request.graph), configs
    )

    async def work(connection: Connection) -> Workflow:
        standing = await key.claim(connection, new.workflow_id)
        if standing == new.workflow_id:
            await workflows.insert(connection, new)
        return await _stored(connection, standing)

    workflow = await env.database.run(work)
    return workflow, [*warnings, *await cycle_warnings(env, workflow.workflow_id)]


def _check(env: Environment, request: NewWorkflowRequest, faults: Violations) -> list[TriggerConfig]:
    check_workflow(request.experiment_id, request.name, request.graph, faults)
    try:
        return check_configs(
            request.configs, env.blueprints, env.conditions.problem_of, field="trigger_configs", complete=False
        )
    except InvalidArgument as error:
        faults.extend(error.violations)
        return []


async def _ask_runner(env: Environment, request: NewWorkflowRequest, faults: Violations) -> Sequence[str]:
    if not request.graph.get("nodes") or len(canonical(request.graph)) > MAX_GRAPH_BYTES:
        return ()
    try:
        report = await env.graphs.check_graph(request.graph, request.experiment_id)
    except Unavailable:
        # What is wrong already is wrong whatever the runner would add.
        faults.raise_if_any()
        raise
    faults.extend(report.violations)
    return report.warnings


async def _stored(connection: Connection, workflow_id: UUID) -> Workflow:
    workflow = await workflows.get(connection, workflow_id)
    if workflow is None:
        raise not_found(workflow_id, "workflow")
    return workflow
