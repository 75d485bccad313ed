"""Plain Python values into the library and out of it again.

Facts about cel-expr-python 0.1.3, each found by trying:
- it takes exactly dict, list, str, bytes, bool, int, float, None and protobuf messages; not tuples, other mappings,
  subclasses of str, or datetimes (a protobuf Timestamp is taken and behaves as a CEL timestamp, a Duration likewise);
- an int outside the 64-bit range is an error, one from 2^63 to 2^64-1 silently becomes unsigned;
- a NUL cuts a map key off, and a lone surrogate raises an error about a null pointer;
- a very deep value ends in RecursionError while it formats a message;
- an evaluation error comes back as a *value* of type ERROR, whose plain value is the message, an ordinary str.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cel_expr_python import cel
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from wakepoint.chassis.expressions.problems import ExpressionError

_MAX_DEPTH = 100
_ELEMENT_UNITS = 16
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1


class Measure:
    """Converts values for an evaluation and, on the same walk, adds up what they weigh.

    `size`: characters of text, and 16 for each other element. `longest`: elements of the longest list or map.
    """

    def __init__(self) -> None:
        self.size = 0
        self.longest = 0

    def convert(self, value: object, depth: int = 0) -> Any:
        """`value` as the library takes it. Raises ExpressionError for what no expression can look at."""
        if depth > _MAX_DEPTH:
            raise ExpressionError(f"the values nest deeper than {_MAX_DEPTH} levels")
        self.size += _ELEMENT_UNITS
        match value:
            case None | bool() | float():
                return value
            case str():
                return self._text(value)
            case int():
                if not _MIN_INT <= value <= _MAX_INT:
                    raise ExpressionError("an integer is outside the 64-bit range; pass it as text")
                return int(value)
            case Mapping():
                self.longest = max(self.longest, len(value))
                return {self._key(key): self.convert(item, depth + 1) for key, item in value.items()}
            case list() | tuple():
                self.longest = max(self.longest, len(value))
                return [self.convert(item, depth + 1) for item in value]
            case _:
                return self._scalar(value)

    def _text(self, value: str) -> str:
        self.size += len(value)
        if "\0" in value:
            raise ExpressionError("a text holds a NUL character")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ExpressionError("a text holds a lone surrogate, which is not a character") from None
        return value if type(value) is str else str.__str__(value)

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            raise ExpressionError(f"map keys must be text, not {type(key).__name__}")
        return self._text(key)

    def _scalar(self, value: object) -> Any:
        match value:
            case bytes():
                self.size += len(value)
                return value
            case datetime() if value.tzinfo is not None:
                stamp = Timestamp()
                stamp.FromDatetime(value.astimezone(UTC))
                return stamp
            case timedelta():
                duration = Duration()
                duration.FromTimedelta(value)
                return duration
            case _:
                raise ExpressionError(f"a value of type {type(value).__name__} cannot be used in an expression")


def from_cel(value: object) -> Any:
    """A result as JSON can hold it: timestamps as RFC 3339, durations as "3.5s", bytes as base64, map keys as text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise ExpressionError("the result is not a finite number")
            return value
        case dict():
            return {_key_text(key): from_cel(item) for key, item in value.items()}
        case list():
            return [from_cel(item) for item in value]
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():.9f}".rstrip("0").rstrip(".") + "s"
        case cel.Type():
            return value.name().lower()
        case _:
            raise ExpressionError(f"the result is a {type(value).__name__}, which has no JSON form")


def _key_text(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
