"""What becomes of a legacy workflow's row. Whatever stands in it, the answer is a workflow or the reason why not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from trigger_service.domain.limits import MAX_NAME_CHARACTERS, id_problem
from trigger_service.domain.old_triggers import NOTHING, OldTriggers, Stored, read_triggers, switch_of

PLACEHOLDER: Final[dict[str, Any]] = {
    "nodes": [
        {
            "id": "imported",
            "type": "Constant",
            "properties": {
                "value": "This workflow was imported with its triggers. Its steps were not translated: "
                "nothing of what it did in the old system is done here until somebody replaces this graph."
            },
        },
        {"id": "to-be-translated", "type": "Manual"},
    ],
    "edges": [{"source": "imported", "target": "to-be-translated"}],
}
"""The graph of an imported workflow. A run of it says so and waits; it never ends as if the steps had been done."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A stored value that is no JSON."""

    text: str


@dataclass(frozen=True, slots=True)
class Translated:
    """A workflow to be had here. `enabled`: by trigger type, for every type on offer. `problems`: what was lost."""

    row_key: str
    experiment_id: str
    name: str
    enabled: Mapping[str, bool]
    used: str
    problems: Sequence[str]
    remarks: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Gone:
    """The workflow was deleted there."""

    row_key: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The row cannot be a workflow here."""

    row_key: str
    problem: str


def decoded(value: object) -> object:
    """A stored JSON value: text is read, twice if need be (some writers encode it twice); the rest is as it is."""
    for _ in range(2):
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str):
            return value
        if not value.strip():
            return value
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return Damaged(str(value))
    return value


def text_of(value: object) -> str:
    """An id or a name as text; what Postgres cannot keep is taken out."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).replace("\0", "").encode("utf-8", "replace").decode().strip()


def translate(row: Mapping[str, Any], older: OldTriggers, offer: Sequence[str]) -> Translated | Gone | Refused:
    """One row of `workflows`. `older`: what the old table of triggers says. `offer`: the types on offer, in order."""
    row_key = text_of(row.get("id"))
    if not row_key:
        return Refused("?", "it has no id")
    if _is_deleted(row):
        return Gone(row_key)
    experiment_id = text_of(row.get("experiment_id"))
    problem = id_problem(experiment_id)
    if problem is not None:
        return Refused(
            row_key, "it belongs to no experiment" if not experiment_id else f"its experiment's id {problem}"
        )
    name, remarks = _name(row, row_key)
    config = decoded(row.get("config"))
    problems = ["its config is not JSON"] if isinstance(config, Damaged) else []
    chosen = _choose(row, config, older.of(row_key, experiment_id), offer)
    return Translated(
        row_key,
        experiment_id,
        name,
        {trigger_type: chosen.enabled.get(trigger_type, False) for trigger_type in offer},
        chosen.where,
        [*problems, *chosen.problems],
        [*remarks, *chosen.remarks],
    )


def _is_deleted(row: Mapping[str, Any]) -> bool:
    if text_of(row.get("status")).upper() == "DELETED":
        return True
    flags = (row.get("deleted"), row.get("is_deleted"))
    return any(switch_of(flag) is True for flag in flags) or row.get("deleted_at") not in (None, "")


def _name(row: Mapping[str, Any], row_key: str) -> tuple[str, list[str]]:
    name = text_of(row.get("name"))
    if not name:
        return f"workflow {row_key}", ["it had no name"]
    if len(name) > MAX_NAME_CHARACTERS:
        return name[:MAX_NAME_CHARACTERS], [f"its name was cut to {MAX_NAME_CHARACTERS} characters"]
    return name, []


def _choose(row: Mapping[str, Any], config: object, older: Stored, offer: Sequence[str]) -> Stored:
    """The newest form that says anything is the one that the old system went by; the others are only told of."""
    newest = read_triggers(_stored(row.get("trigger_configs")), "trigger_configs", offer)
    inner = config.get("triggers") if isinstance(config, Mapping) else None
    inside = read_triggers(_stored(inner), "config.triggers", offer, takes_names=True)
    problems: list[str] = []
    for candidate in (newest, inside, older):
        if candidate.is_usable:
            return candidate.beside(problems)
        problems += candidate.problems
    return NOTHING.beside(problems)


def _stored(value: object) -> object:
    found = decoded(value)
    return "not JSON" if isinstance(found, Damaged) else found
