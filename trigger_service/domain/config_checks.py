"""Checking trigger configs that somebody wants to write. Every fault is told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from trigger_service.domain import limits, statuses
from trigger_service.domain.blueprints import Blueprint, Blueprints
from trigger_service.domain.configs import OPTIONS, TriggerConfig
from trigger_service.domain.globs import MAX_PATTERN_CHARACTERS
from trigger_service.domain.state_options import StateOptions
from wakepoint.chassis.errors import Violations

MAX_SOURCES = 100
_KNOWN_FIELDS = frozenset({"trigger_type", "is_enabled", *OPTIONS})


def check_configs(
    given: object,
    offer: Blueprints,
    problem_of: Callable[[str], str | None],
    *,
    field: str = "configs",
    complete: bool = True,
) -> list[TriggerConfig]:
    """The configs in the blueprints' order, or InvalidArgument with all faults.

    `given` is untrusted JSON: a list of one dictionary per blueprint; unless it must be `complete`, blueprints that are
    not in it get their default. `problem_of` says why a condition does not compile, or None when it does.
    """
    faults = Violations()
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        faults.add(field, "must be a list")
        faults.raise_if_any()
        return []
    if complete and len(given) != len(offer):
        faults.add(field, f"exactly {len(offer)} trigger configurations are required, not {len(given)}")
    elif len(given) > limits.MAX_BATCH:
        faults.add(field, f"at most {len(offer)} trigger configurations can be given, not {len(given)}")
    if len(given) > limits.MAX_BATCH:
        faults.raise_if_any()
    seen: dict[str, TriggerConfig] = {}
    for index, item in enumerate(given):
        _check_item(item, f"{field}[{index}]", offer, problem_of, seen, faults)
    missing = [trigger_type for trigger_type in offer.types if trigger_type not in seen]
    if complete and missing:
        faults.add(field, f"Missing trigger_type: {', '.join(missing)}")
    faults.raise_if_any()
    return [seen.get(blueprint.trigger_type) or default_config(blueprint) for blueprint in offer]


def default_config(blueprint: Blueprint) -> TriggerConfig:
    """What a blueprint is set to where nobody said anything."""
    return TriggerConfig(trigger_type=blueprint.trigger_type, is_enabled=blueprint.default_is_enabled)


def _check_item(
    item: object,
    at: str,
    offer: Blueprints,
    problem_of: Callable[[str], str | None],
    seen: dict[str, TriggerConfig],
    faults: Violations,
) -> None:
    if not isinstance(item, Mapping):
        faults.add(at, "must be a dictionary")
        return
    trigger_type = _trigger_type(item, at, offer, seen, faults)
    if not isinstance(item.get("is_enabled"), bool):
        faults.add(f"{at}.is_enabled", "must be a boolean")
    _check_names(item, at, faults)
    options, state = _Options(item, at, faults), StateOptions(item, at, faults)
    checked = TriggerConfig(
        trigger_type=trigger_type,
        is_enabled=item.get("is_enabled") is True,
        condition=options.condition(problem_of),
        job_name_pattern=options.pattern(),
        on_statuses=options.on_statuses(),
        source_experiment_ids=options.sources(),
        expire_time=options.expire_time(),
        delay=state.delay(),
        debounce=state.debounce(),
        max_firings=state.max_firings(),
        rate_limit=state.rate_limit(),
        while_paused=state.while_paused(),
    )
    if trigger_type:
        seen.setdefault(trigger_type, checked)


def _check_names(item: Mapping[str, object], at: str, faults: Violations) -> None:
    for name in item:
        if name not in _KNOWN_FIELDS:
            faults.add(f"{at}.{name}", "is not a field of a trigger configuration")


def _trigger_type(
    item: Mapping[str, object], at: str, offer: Blueprints, seen: Mapping[str, object], faults: Violations
) -> str:
    """The item's type when it is on offer, else "" with the fault noted. A repetition is a fault of its own."""
    given = item.get("trigger_type")
    if not isinstance(given, str):
        faults.add(f"{at}.trigger_type", "must be a string")
        return ""
    if given not in offer:
        faults.add(f"{at}.trigger_type", f"Invalid trigger_type: {given[: limits.MAX_NAME_CHARACTERS]}")
        return ""
    if given in seen:
        faults.add(f"{at}.trigger_type", f"Duplicate trigger_type: {given}")
    return given


class _Options:
    """Reads the optional fields of one item; a faulty one is noted and read as not given."""

    def __init__(self, item: Mapping[str, object], at: str, faults: Violations) -> None:
        self._item, self._at, self._faults = item, at, faults

    def condition(self, problem_of: Callable[[str], str | None]) -> str:
        text = self._text("condition")
        problem = problem_of(text) if text else None
        if problem is not None:
            self._fault("condition", f"does not compile: {problem}")
        return text

    def pattern(self) -> str:
        text = self._text("job_name_pattern")
        if len(text) > MAX_PATTERN_CHARACTERS:
            self._fault("job_name_pattern", f"must not be longer than {MAX_PATTERN_CHARACTERS} characters")
        return text

    def on_statuses(self) -> tuple[str, ...]:
        given = self._texts("on_statuses")
        for index, status in enumerate(given):
            if status not in statuses.ALL:
                self._fault(f"on_statuses[{index}]", f"must be one of {', '.join(statuses.ALL)}")
        return tuple(dict.fromkeys(given))

    def sources(self) -> tuple[str, ...]:
        given = self._texts("source_experiment_ids")
        if len(given) > MAX_SOURCES:
            self._fault("source_experiment_ids", f"must not be more than {MAX_SOURCES}")
            return ()
        for index, source in enumerate(given):
            problem = limits.id_problem(source)
            if problem is not None:
                self._fault(f"source_experiment_ids[{index}]", problem)
        return tuple(dict.fromkeys(given))

    def expire_time(self) -> datetime | None:
        given = self._item.get("expire_time")
        if given is None:
            return None
        try:
            moment = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or not 1 < moment.year < 9999:
            self._fault("expire_time", "must be a time such as 2027-01-31T12:00:00Z")
            return None
        return moment

    def _text(self, name: str) -> str:
        given = self._item.get(name)
        if given is None:
            return ""
        if not isinstance(given, str):
            self._fault(name, "must be a string")
            return ""
        return given

    def _texts(self, name: str) -> list[str]:
        given = self._item.get(name)
        if given is None:
            return []
        if not isinstance(given, list | tuple) or not all(isinstance(text, str) for text in given):
            self._fault(name, "must be a list of strings")
            return []
        return list(given)

    def _fault(self, name: str, description: str) -> None:
        self._faults.add(f"{self._at}.{name}", description)
