"""How runs of one workflow share the road, as a workflow says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from wakepoint.chassis.errors import Violations

MAX_KEY_CHARACTERS = 1_024
_ENUM_PREFIX = "ON_CONFLICT_"
_FIELDS = frozenset({"key", "on_conflict"})


class OnConflict(StrEnum):
    """What a new run does while another with its key is unfinished."""

    ALLOW = "ALLOW"
    QUEUE = "QUEUE"
    SKIP = "SKIP"
    CANCEL_PREVIOUS = "CANCEL_PREVIOUS"


class Concurrency(BaseModel):
    """Runs with the same key exclude each other. `key` may hold `${CEL}` over `input`, the run's input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    on_conflict: OnConflict = OnConflict.ALLOW

    def to_stored(self) -> dict[str, Any]:
        """The value as it stands in jsonb."""
        return self.model_dump(mode="json")


def check_concurrency(
    given: object, problem_of: Callable[[str], str | None], faults: Violations, *, field: str = "concurrency"
) -> Concurrency | None:
    """What somebody wants to store, from untrusted JSON; None is none. Every fault is noted.

    `problem_of` says why a key does not compile, or None when it does.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        faults.add(field, "must be a dictionary")
        return None
    for name in given:
        if name not in _FIELDS:
            faults.add(f"{field}.{name}", "is not a field of concurrency")
    key, chosen = given.get("key"), _on_conflict(given.get("on_conflict"))
    problem = _key_problem(key, problem_of)
    if problem is not None:
        faults.add(f"{field}.key", problem)
    if chosen is None:
        faults.add(f"{field}.on_conflict", f"must be one of {', '.join(OnConflict)}")
    return Concurrency(key=str(key), on_conflict=chosen) if problem is None and chosen else None


def read_concurrency(stored: object) -> Concurrency | None:
    """What is stored, whoever wrote it. ValueError for what cannot be honoured."""
    if stored is None or stored == {}:
        return None
    faults = Violations()
    found = check_concurrency(stored, lambda _key: None, faults)
    if faults:
        raise ValueError("the workflow's stored concurrency cannot be honoured")
    return found


def _on_conflict(given: object) -> OnConflict | None:
    if given is None or given == f"{_ENUM_PREFIX}UNSPECIFIED":
        return OnConflict.ALLOW
    try:
        return OnConflict(str(given).removeprefix(_ENUM_PREFIX))
    except ValueError:
        return None


def _key_problem(key: object, problem_of: Callable[[str], str | None]) -> str | None:
    if not isinstance(key, str):
        return "must be a string"
    if not key:
        return "must not be empty"
    if len(key) > MAX_KEY_CHARACTERS:
        return f"must not be longer than {MAX_KEY_CHARACTERS} characters"
    problem = problem_of(key)
    return None if problem is None else f"does not compile: {problem}"
