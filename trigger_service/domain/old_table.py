"""Rows of the old table of triggers, from before workflows had configs of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trigger_service.domain.legacy import Damaged, decoded, text_of
from trigger_service.domain.old_triggers import OldRow, known_type, switch_of


def read_old_row(row: Mapping[str, Any], offer: Sequence[str]) -> OldRow | str:
    """A row of `workflow_triggers`, or why it cannot be used."""
    config = decoded(row.get("config"))
    if isinstance(config, Damaged):
        return "its config is not JSON"
    word = row.get("trigger_type", row.get("type"))
    trigger_type = known_type(word, offer)
    if trigger_type is None:
        return f"it is of no known type: {str(word)[:60]!r}"
    is_enabled = switch_of(row.get("is_enabled", row.get("enabled", True)))
    if is_enabled is None:
        return "it does not say whether it is on"
    keys = _workflow_keys(row, config if isinstance(config, Mapping) else {})
    if not keys:
        return "it names no workflow"
    return OldRow(text_of(row.get("id")), trigger_type, is_enabled, text_of(row.get("experiment_id")), frozenset(keys))


def _workflow_keys(row: Mapping[str, Any], config: Mapping[Any, Any]) -> set[str]:
    found: list[object] = [row.get("workflow_id"), config.get("workflow_id")]
    for several in (decoded(row.get("workflow_ids")), config.get("workflow_ids"), config.get("workflows")):
        found += several if isinstance(several, list) else []
    return {text_of(key) for key in found} - {""}
