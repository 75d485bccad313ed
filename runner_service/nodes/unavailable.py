"""Properties that graphs may know already but whose behaviour is not there: refused, so that nobody relies on them."""

from collections.abc import Callable, Mapping
from typing import Any

from wakepoint.chassis.errors import FieldViolation
from wakepoint.nodes import Node, TriggerNode


def _is_given(value: Any) -> bool:
    return value is not None


UNAVAILABLE: Mapping[str, Callable[[Any], bool]] = {
    "batch_window_seconds": _is_given,
    "expires_after_seconds": _is_given,
    "stale_after_seconds": _is_given,
    "stale_policy": lambda value: value != "none",
    "adaptive_timeout": bool,
}
"""Properties of triggers, and which of their values ask for it."""


def unavailable_properties(node_class: type[Node], properties: Mapping[str, Any]) -> list[FieldViolation]:
    """Those of `properties` that ask for what the runner cannot do."""
    if not issubclass(node_class, TriggerNode):
        return []
    return [
        FieldViolation(name, "is not available yet")
        for name, is_used in UNAVAILABLE.items()
        if name in properties and is_used(properties[name])
    ]
