"""BatchUpdateTriggerConfigs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from trigger_service.domain import limits
from trigger_service.domain.workflows import Workflow
from trigger_service.storage import workflows
from trigger_service.usecases.environment import Environment, known_id, not_found
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import FailedPrecondition, Violations

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Switch:
    """One trigger, on or off, for these workflows of an experiment; none named: for all of them."""

    experiment_id: str
    workflow_ids: Sequence[str]
    trigger_type: str
    is_enabled: bool | None


async def switch_triggers(env: Environment, switch: Switch, answer: Callable[[Sequence[Workflow]], Answer]) -> Answer:
    """Turn a trigger on or off for all or, whatever is wrong, for none, in one transaction.

    `answer` is made before the commit, so that one that cannot be given leaves everything as it was; workflows come in
    the order asked for, or oldest first. InvalidArgument names every fault. NotFound: one of them is not a workflow of
    this experiment. FailedPrecondition: the experiment has too many to be named by their experiment alone.
    """
    is_enabled = _check(env, switch)
    named = [known_id(text, "workflow") for text in switch.workflow_ids]

    async def work(connection: Connection) -> Answer:
        found = await workflows.lock_many(connection, switch.experiment_id, named or None, limits.MAX_BATCH + 1)
        _require_all(named, found)
        await workflows.switch(connection, found, switch.trigger_type, is_enabled)
        after = {workflow.workflow_id: workflow for workflow in await workflows.get_many(connection, found)}
        return answer([after[workflow_id] for workflow_id in named or found])

    return await env.database.run(work)


def _check(env: Environment, switch: Switch) -> bool:
    faults = Violations()
    problem = limits.id_problem(switch.experiment_id)
    if problem is not None:
        faults.add("experiment_id", problem)
    if len(switch.workflow_ids) > limits.MAX_BATCH:
        faults.add("workflow_ids", f"must not be more than {limits.MAX_BATCH}")
    if switch.trigger_type not in env.blueprints:
        faults.add("trigger_type", f"Invalid trigger_type: {switch.trigger_type[: limits.MAX_NAME_CHARACTERS]}")
    if switch.is_enabled is None:
        faults.add("is_enabled", "must be a boolean")
    faults.raise_if_any()
    return switch.is_enabled is True


def _require_all(named: Sequence[UUID], found: Sequence[UUID]) -> None:
    missing = set(named).difference(found)
    if missing:
        raise not_found(next(workflow_id for workflow_id in named if workflow_id in missing), "workflow")
    if len(found) > limits.MAX_BATCH:
        raise FailedPrecondition(
            f"the experiment has more than {limits.MAX_BATCH} workflows: name at most so many at a time",
            reason="TOO_MANY_WORKFLOWS",
        )
