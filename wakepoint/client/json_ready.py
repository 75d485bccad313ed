"""Whatever a training script has at hand, as JSON has it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Final

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_DEEPEST: Final = 12


def json_ready(value: object, levels: int = _DEEPEST) -> object:
    """The value in JSON's types. Never fails: a number that took hours to compute is not lost to its type.

    Scalars, arrays and tensors of numeric libraries become numbers and lists, times ISO 8601, NaN and infinities text,
    and what has no better form, or lies below `levels` levels of nesting, its `str`.
    """
    if levels == 0 and not isinstance(value, str | int | float | None):
        return json_ready(str(value))
    match value:
        case None | bool() | int():
            return value
        case str():
            return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
        case float():
            return float(value) if math.isfinite(value) else str(float(value))
        case Mapping():
            return {str(json_ready(str(key))): json_ready(item, levels - 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [json_ready(item, levels - 1) for item in value]
        case date():
            return value.isoformat()
        case _:
            as_list = getattr(value, "tolist", None)
            return json_ready(as_list() if callable(as_list) else str(value), levels - 1)


def json_object(values: Mapping[str, object]) -> dict[str, object]:
    """The same for a mapping, whose keys become text."""
    ready = json_ready(values)
    assert isinstance(ready, dict)
    return ready
