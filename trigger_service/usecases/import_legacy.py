"""Take over workflows and triggers from a legacy database, again and again without doing anything twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from trigger_service.domain.blueprints import Blueprints
from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.legacy import PLACEHOLDER, Gone, Refused, Translated, text_of, translate
from trigger_service.domain.old_table import read_old_row
from trigger_service.domain.old_triggers import OldRow, OldTriggers
from trigger_service.domain.workflows import digest
from trigger_service.storage import firings, legacy_imports, workflows
from trigger_service.storage.legacy_source import Row, Snapshot
from wakepoint.chassis.database import Connection, Database

_NAMESPACE = uuid5(NAMESPACE_URL, "https://wakepoint.dev/legacy-import")


class Fate(Enum):
    """What became of a row."""

    TAKEN = "taken"
    UPDATED = "updated: it had changed there"
    UNCHANGED = "taken before"
    DELETED = "deleted here too: it was deleted there"
    SKIPPED = "left out: it was deleted there"
    LEFT = "left as it is: it was changed here since it was taken"
    VANISHED = "left as it is: it is not there any more"
    UNDERSTOOD = "understood"
    REFUSED = "not taken"


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one row, and what of it was lost on the way."""

    table: str
    row_key: str
    fate: Fate
    text: str = ""
    workflow_id: UUID | None = None
    problems: Sequence[str] = ()
    remarks: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the row was lost."""
        return self.fate is not Fate.REFUSED and not self.problems


def workflow_id_of(source: str, row_key: str) -> UUID:
    """The id that a legacy workflow has here: always the same for the same row of the same source."""
    return uuid5(_NAMESPACE, f"{source}/workflows/{row_key}")


async def import_legacy(database: Database, blueprints: Blueprints, source: str, snapshot: Snapshot) -> list[Line]:
    """Take over what can be taken, a transaction a row; what became of each row, in their order."""
    lines: list[Line] = []
    older = _read_old(snapshot.workflow_triggers, blueprints, lines)
    seen: set[str] = set()
    for row in snapshot.workflows:
        found = translate(row, older, blueprints.types)
        seen.add(found.row_key)
        match found:
            case Refused(row_key, problem):
                lines.append(Line("workflows", row_key, Fate.REFUSED, problem))
            case Gone():
                lines.append(await database.run(partial(_follow_deletion, source, found)))
            case Translated():
                lines.append(await database.run(partial(_take, source, found, row)))
    async with database.connection() as connection:
        vanished = await legacy_imports.keys(connection, source) - seen
    lines += [
        Line("workflows", key, Fate.VANISHED, workflow_id=workflow_id_of(source, key)) for key in sorted(vanished)
    ]
    return lines


def _read_old(rows: Sequence[Row], blueprints: Blueprints, lines: list[Line]) -> OldTriggers:
    understood: list[OldRow] = []
    for row in rows:
        found = read_old_row(row, blueprints.types)
        if isinstance(found, OldRow):
            understood.append(found)
            state = "on" if found.is_enabled else "off"
            text = f"{found.trigger_type} {state} for {', '.join(sorted(found.workflow_keys))}"
            lines.append(Line("workflow_triggers", found.row_key, Fate.UNDERSTOOD, text))
        else:
            lines.append(Line("workflow_triggers", text_of(row.get("id")) or "?", Fate.REFUSED, found))
    return OldTriggers(understood)


async def _take(source: str, found: Translated, row: Row, connection: Connection) -> Line:
    await legacy_imports.lock_source(connection, source)
    earlier = await legacy_imports.find(connection, source, found.row_key)
    made: dict[str, Any] = {"name": found.name, "experiment_id": found.experiment_id, "enabled": dict(found.enabled)}
    row_hash = digest(made)
    workflow_id = workflow_id_of(source, found.row_key)
    configs = [TriggerConfig(trigger_type=kind, is_enabled=on) for kind, on in found.enabled.items()]
    if earlier is None:
        await workflows.insert(
            connection,
            workflows.NewWorkflow(
                workflow_id, found.experiment_id, found.name, PLACEHOLDER, digest(PLACEHOLDER), configs
            ),
        )
        fate = Fate.TAKEN
    elif earlier.row_hash == row_hash:
        return _line(found, workflow_id, Fate.UNCHANGED)
    elif earlier.is_edited:
        return _line(found, workflow_id, Fate.LEFT)
    else:
        await legacy_imports.update(connection, workflow_id, found.name, configs)
        fate = Fate.UPDATED
    await legacy_imports.remember(connection, source, found.row_key, workflow_id, row_hash, _keepable(row))
    return _line(found, workflow_id, fate)


async def _follow_deletion(source: str, found: Gone, connection: Connection) -> Line:
    await legacy_imports.lock_source(connection, source)
    earlier = await legacy_imports.find(connection, source, found.row_key)
    if earlier is None or earlier.is_deleted:
        return Line("workflows", found.row_key, Fate.SKIPPED)
    if earlier.is_edited:
        return Line("workflows", found.row_key, Fate.LEFT, workflow_id=earlier.workflow_id)
    await workflows.delete(connection, earlier.workflow_id)
    await firings.cancel_of_workflow(connection, earlier.workflow_id, "the workflow was deleted in the old system")
    return Line("workflows", found.row_key, Fate.DELETED, workflow_id=earlier.workflow_id)


def _line(found: Translated, workflow_id: UUID, fate: Fate) -> Line:
    enabled = ", ".join(kind for kind, on in found.enabled.items() if on) or "nothing"
    text = f'"{found.name}" in experiment {found.experiment_id}, started by {enabled} ({found.used})'
    return Line("workflows", found.row_key, fate, text, workflow_id, found.problems, found.remarks)


def _keepable(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as text and numbers, without what jsonb cannot hold."""
    return {
        name: value if value is None or (isinstance(value, int) and abs(value) < 2**53) else text_of(value)
        for name, value in row.items()
    }
