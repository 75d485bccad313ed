"""What was imported from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from trigger_service.domain.configs import TriggerConfig
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "legacy_imports.sql")


@dataclass(frozen=True, slots=True)
class Import:
    """What was made of a row. `is_edited`: the workflow was changed or deleted here since."""

    workflow_id: UUID
    row_hash: bytes
    is_edited: bool
    is_deleted: bool


async def lock_source(connection: Connection, source: str) -> None:
    """Have other imports of this source wait until the transaction ends."""
    await connection.execute(_SQL["lock_source"], source)


async def find(connection: Connection, source: str, row_key: str) -> Import | None:
    """What was made of a row of this source before; its workflow is locked."""
    row = await connection.fetchrow(_SQL["find_import"], source, row_key)
    if row is None:
        return None
    await connection.execute(_SQL["lock_imported"], row["workflow_id"])
    row = await connection.fetchrow(_SQL["find_import"], source, row_key)
    assert row is not None
    is_deleted = row["is_deleted"] is not False
    is_edited = is_deleted or row["current_edition"] != row["edition"]
    return Import(row["workflow_id"], row["row_hash"], is_edited, is_deleted)


async def remember(
    connection: Connection, source: str, row_key: str, workflow_id: UUID, row_hash: bytes, source_row: Mapping[str, Any]
) -> None:
    """Keep what was made of a row, and the row itself."""
    await connection.execute(_SQL["remember_import"], source, row_key, workflow_id, row_hash, dict(source_row))


async def update(connection: Connection, workflow_id: UUID, name: str, configs: Sequence[TriggerConfig]) -> None:
    """Give an imported workflow, whose row is locked, what its source says now."""
    await connection.execute(_SQL["update_imported"], workflow_id, name, [config.to_stored() for config in configs])


async def keys(connection: Connection, source: str) -> set[str]:
    """All rows of this source of which workflows were made."""
    return {row["row_key"] for row in await connection.fetch(_SQL["imported_keys"], source)}
