"""RunWorkflow."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from trigger_service.domain.blueprints import MANUAL
from trigger_service.domain.firings import Firing
from trigger_service.domain.limits import id_problem, json_problem
from trigger_service.storage import firings, workflows
from trigger_service.usecases.environment import Environment, known_id, not_found, require_live
from trigger_service.usecases.requests import RequestKey
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import Violations
from wakepoint.chassis.ids import new_id


async def run_workflow(
    env: Environment, request_id: str, workflow_id: str, experiment_id: str, run_input: dict[str, Any]
) -> Firing:
    """Fire a workflow by hand; the run gets the input as it is given.

    NotFound; InvalidArgument; AlreadyExists when the request_id came before with another body; FailedPrecondition for a
    service that only watches.
    """
    require_live(env)
    key = known_id(workflow_id, "workflow")
    _check(request_id, run_input)

    async def work(connection: Connection) -> Firing:
        pin = await workflows.lock(connection, key, experiment_id)
        if pin is None:
            raise not_found(workflow_id, "workflow")
        body = {"workflow_id": str(key), "input": run_input}
        request = RequestKey.of(pin.experiment_id, "RunWorkflow", request_id, body)
        new = firings.ManualFiring(
            UUID(new_id()), key, pin.experiment_id, MANUAL, pin.version, pin.graph_hash, run_input
        )
        standing = await request.claim(connection, new.firing_id)
        if standing == new.firing_id:
            return await firings.insert_manual(connection, new)
        earlier = await firings.get(connection, standing)
        if earlier is None:
            raise not_found(standing, "firing")
        return earlier

    fired = await env.database.run(work)
    env.firings_due()
    return fired


def _check(request_id: str, run_input: dict[str, Any]) -> None:
    faults = Violations()
    for field, problem in (
        ("request_id", id_problem(request_id, required=False)),
        ("input", json_problem(run_input)),
    ):
        if problem is not None:
            faults.add(field, problem)
    faults.raise_if_any()
