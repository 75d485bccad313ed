"""The three forms in which the old system kept triggers, read without ever failing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

_ALIASES = {"EXPORT": "EXPORT_MODEL"}
_TYPE_FIELDS = ("trigger_type", "type")
_ENABLED_FIELDS = ("is_enabled", "enabled")


@dataclass(frozen=True, slots=True)
class Stored:
    """What one place says. `enabled` by type, in our words; empty: it says nothing that can be used."""

    where: str
    enabled: Mapping[str, bool] = field(default_factory=dict)
    problems: Sequence[str] = ()
    remarks: Sequence[str] = ()

    @property
    def is_usable(self) -> bool:
        """Whether anything was understood."""
        return bool(self.enabled)

    def beside(self, problems: Sequence[str]) -> Stored:
        """The same with the problems of places that could not be used."""
        return replace(self, problems=[*problems, *self.problems])


NOTHING = Stored("no triggers")


@dataclass(frozen=True, slots=True)
class OldRow:
    """A row of the old table of triggers, understood."""

    row_key: str
    trigger_type: str
    is_enabled: bool
    experiment_id: str
    workflow_keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class OldTriggers:
    """The old table of triggers."""

    rows: Sequence[OldRow] = ()

    def of(self, workflow_key: str, experiment_id: str) -> Stored:
        """What it says about a workflow. A row of another experiment never started it."""
        enabled: dict[str, bool] = {}
        problems = []
        for row in self.rows:
            if workflow_key not in row.workflow_keys:
                continue
            if row.experiment_id not in ("", experiment_id):
                problems.append(f"workflow_triggers {row.row_key} is of another experiment")
                continue
            # Several rows for one type: any that was on started it.
            enabled[row.trigger_type] = enabled.get(row.trigger_type, False) or row.is_enabled
        return Stored("workflow_triggers", enabled, problems)


def switch_of(value: object) -> bool | None:
    """A switch: JSON's and SQL's forms of a boolean; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    return None


def known_type(value: object, offer: Iterable[str]) -> str | None:
    """The trigger type on offer that the old word means, or None."""
    if not isinstance(value, str):
        return None
    word = _ALIASES.get(value.strip(), value.strip())
    return word if word in offer else None


def read_triggers(value: object, where: str, offer: Sequence[str], *, takes_names: bool = False) -> Stored:
    """What a list of triggers says. `takes_names`: a bare name in it is a trigger that is on."""
    if value is None:
        return Stored(where)
    if not isinstance(value, list):
        return Stored(where, problems=[f"{where} is {_kind(value)}, not a list"])
    enabled: dict[str, bool] = {}
    problems: list[str] = []
    remarks: list[str] = []
    for place, item in enumerate(value):
        at = f"{where}[{place}]"
        read = _read_item(item, takes_names)
        if read is None:
            problems.append(f"{at} is {_kind(item)}, not a dictionary")
            continue
        word, switch = read
        trigger_type = known_type(word, offer)
        if trigger_type is None:
            problems.append(f"{at} is of no known type: {str(word)[:60]!r}")
        elif trigger_type in enabled:
            remarks.append(f"{at} repeats {trigger_type}; the first one counts")
        else:
            if switch is None:
                problems.append(f"{at} does not say whether {trigger_type} is on: it is off")
            enabled[trigger_type] = switch is True
    return Stored(where, enabled, problems, remarks)


def _read_item(item: object, takes_names: bool) -> tuple[object, bool | None] | None:
    """The type's word and its switch (None: unreadable), or None for what is no trigger at all."""
    if isinstance(item, str) and takes_names:
        return item, True
    if isinstance(item, Mapping):
        return _first(item, _TYPE_FIELDS), switch_of(_first(item, _ENABLED_FIELDS))
    return None


def _first(item: Mapping[object, object], names: Iterable[str]) -> object:
    return next((item[name] for name in names if name in item), None)


def _kind(value: object) -> str:
    match value:
        case "":
            return "empty text"
        case "not JSON":
            return "not JSON"
        case str():
            return "text"
        case Mapping():
            return "a dictionary"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case None:
            return "null"
        case _:
            return "something else"
