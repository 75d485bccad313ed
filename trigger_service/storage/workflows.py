"""Workflows, their graphs, the blueprints on offer and the request ids that were used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from trigger_service.domain.blueprints import Blueprints
from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.workflows import Workflow
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "workflows.sql")
# A changed offer derives every workflow again: some 10 s for 100,000 of them. It happens once, at a start.
_DERIVE_ALL_SECONDS = 1_800.0


@dataclass(frozen=True, slots=True)
class NewWorkflow:
    """What is stored of a new workflow. `graph_hash` is SHA-256 over the graph's canonical JSON."""

    workflow_id: UUID
    experiment_id: str
    name: str
    graph: dict[str, Any]
    graph_hash: bytes
    configs: Sequence[TriggerConfig]


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of a workflow; None leaves it as it is. `concurrency` is taken when `sets_concurrency`."""

    name: str | None = None
    graph: dict[str, Any] | None = None
    graph_hash: bytes | None = None
    configs: Sequence[TriggerConfig] | None = None
    sets_concurrency: bool = False
    concurrency: dict[str, Any] | None = None
    adopt_newest: bool | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """A workflow's row, locked: what a firing pins, and what an edit is checked against."""

    experiment_id: str
    edition: int
    version: int
    graph_hash: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What a request_id was used for."""

    body_hash: bytes
    result_id: UUID


async def insert(connection: Connection, new: NewWorkflow) -> None:
    """Store a workflow; its index rows follow by themselves."""
    await connection.execute(_SQL["insert_graph"], new.graph_hash, new.graph)
    await connection.execute(
        _SQL["insert_workflow"],
        new.workflow_id,
        new.experiment_id,
        new.name,
        new.graph_hash,
        [config.to_stored() for config in new.configs],
    )


async def get(connection: Connection, workflow_id: UUID, experiment_id: str = "") -> Workflow | None:
    """A live workflow, of this experiment if one is given."""
    row = await connection.fetchrow(_SQL["get_workflow"], workflow_id, experiment_id)
    return Workflow.model_validate(dict(row)) if row else None


async def list_page(
    connection: Connection,
    experiment_id: str,
    trigger_type: str,
    after: UUID | None,
    limit: int,
    as_of: datetime | None,
) -> tuple[list[Workflow], datetime | None]:
    """Live workflows by id, at most `limit`, and when the walk through them began (None where there are none)."""
    rows = await connection.fetch(_SQL["list_workflows"], experiment_id, trigger_type, after, limit, as_of)
    return [Workflow.model_validate(dict(row)) for row in rows], rows[0]["as_of"] if rows else None


async def lock(connection: Connection, workflow_id: UUID, experiment_id: str = "") -> Pin | None:
    """Lock a live workflow's row until the transaction ends."""
    row = await connection.fetchrow(_SQL["lock_workflow"], workflow_id, experiment_id)
    return Pin(row["experiment_id"], row["edition"], row["version"], row["graph_hash"]) if row else None


async def update_configs(connection: Connection, workflow_id: UUID, configs: Sequence[TriggerConfig]) -> None:
    """Replace a locked workflow's configs."""
    enables = any(config.is_enabled for config in configs)
    await connection.execute(_SQL["update_configs"], workflow_id, [config.to_stored() for config in configs], enables)


async def update(connection: Connection, workflow_id: UUID, edit: Edit) -> None:
    """Edit a locked workflow."""
    if edit.graph is not None:
        await connection.execute(_SQL["insert_graph"], edit.graph_hash, edit.graph)
    await connection.execute(
        _SQL["update_workflow"],
        workflow_id,
        edit.name,
        edit.graph_hash,
        None if edit.configs is None else [config.to_stored() for config in edit.configs],
        edit.sets_concurrency,
        edit.concurrency,
        edit.adopt_newest,
        any(config.is_enabled for config in edit.configs or ()),
    )


async def lock_many(
    connection: Connection, experiment_id: str, workflow_ids: Sequence[UUID] | None, limit: int
) -> list[UUID]:
    """Lock these live workflows of an experiment, or all of it, at most `limit`; which there are, ascending."""
    rows = await connection.fetch(_SQL["lock_workflows"], experiment_id, workflow_ids, limit)
    return [row["workflow_id"] for row in rows]


async def switch(connection: Connection, workflow_ids: Sequence[UUID], trigger_type: str, is_enabled: bool) -> None:
    """Turn one trigger of locked workflows on or off."""
    await connection.execute(_SQL["switch_trigger"], workflow_ids, trigger_type, is_enabled)


async def get_many(connection: Connection, workflow_ids: Sequence[UUID]) -> list[Workflow]:
    """Live workflows, ascending by id."""
    rows = await connection.fetch(_SQL["get_workflows"], workflow_ids)
    return [Workflow.model_validate(dict(row)) for row in rows]


async def delete(connection: Connection, workflow_id: UUID) -> None:
    """Delete a locked workflow softly."""
    await connection.execute(_SQL["delete_workflow"], workflow_id)


async def offer(connection: Connection, blueprints: Blueprints) -> bool:
    """Put the blueprints on offer; true when that changed anything and every workflow was derived again."""
    offered = [blueprint.model_dump(mode="json") for blueprint in blueprints]
    return bool(await connection.fetchval(_SQL["offer_blueprints"], offered, timeout=_DERIVE_ALL_SECONDS))


async def find_request(connection: Connection, experiment_id: str, method: str, request_id: str) -> Request | None:
    """What this request_id was used for before."""
    row = await connection.fetchrow(_SQL["find_request"], experiment_id, method, request_id)
    return Request(row["body_hash"], row["result_id"]) if row else None


async def claim_request(
    connection: Connection, experiment_id: str, method: str, request_id: str, request: Request
) -> bool:
    """Use a request_id; false when somebody did so before."""
    return bool(
        await connection.fetchval(
            _SQL["claim_request"], experiment_id, method, request_id, request.body_hash, request.result_id
        )
    )
