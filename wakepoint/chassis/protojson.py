"""Between protobuf's free-form values, spans and times, and plain Python.

Protobuf has one kind of number, a double. Integral ones within 2^53 become `int` here, so that nodes, CEL and jsonb see
integers; larger integers are told apart no more by a double and therefore travel as text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from wakepoint.chassis.errors import InvalidArgument, Violations

EXACT_LIMIT = 2**53
MAX_DEPTH = 20
"""Levels of nesting that a value may have. Protobuf's parser follows a hundred messages into each other and a level of
Struct takes three of them; what is left is for the messages, logs and outputs that values are put into later."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def struct_to_python(struct: Struct, path: str = "") -> dict[str, object]:
    """The struct as a dict. InvalidArgument naming every place (below `path`) that holds NaN or an infinity."""
    violations = Violations()
    found = _fields(struct, path, violations)
    violations.raise_if_any()
    return found


def value_to_python(value: Value, path: str = "") -> object:
    """The value as None, bool, int, float, str, list or dict. InvalidArgument as in `struct_to_python`."""
    violations = Violations()
    found = _plain(value, path, violations)
    violations.raise_if_any()
    return found


def python_to_struct(value: Mapping[str, object], path: str = "") -> Struct:
    """The mapping as a struct; integers beyond 2^53 become text. InvalidArgument for what JSON does not have."""
    struct = Struct()
    _fill_struct(struct, value, path)
    return struct


def python_to_value(value: object, path: str = "") -> Value:
    """A JSON-like Python value as a Value; as in `python_to_struct`."""
    target = Value()
    _fill(target, value, path)
    return target


def check_text(value: object, path: str, violations: Violations) -> None:
    """Note every place in a nested JSON-like value that Postgres cannot store: NULs, lone surrogates, deep nesting."""
    _check(value, path, violations, MAX_DEPTH)


def timestamp_to_datetime(timestamp: Timestamp, path: str = "") -> datetime:
    """Aware UTC, cut to microseconds. InvalidArgument on `path` outside the years 1 to 9999."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument.of(path, "must be a valid time between the years 1 and 9999") from error


def datetime_to_timestamp(moment: datetime) -> Timestamp:
    """ValueError for a naive datetime, whose meaning would hang on the machine."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no place in time")
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def duration_to_timedelta(duration: Duration, path: str = "") -> timedelta:
    """Cut to microseconds. InvalidArgument on `path` beyond ten thousand years, or when the signs disagree."""
    try:
        duration.ToJsonString()  # the one public method that validates
        return duration.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidArgument.of(path, "must be a valid duration") from error


def timedelta_to_duration(span: timedelta) -> Duration:
    """The span, exact to the microsecond."""
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def _fields(struct: Struct, path: str, violations: Violations) -> dict[str, object]:
    return {key: _plain(item, _member(path, key), violations) for key, item in struct.fields.items()}


def _plain(value: Value, path: str, violations: Violations) -> object:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _fields(value.struct_value, path, violations)
        case "list_value":
            return [_plain(item, f"{path}[{i}]", violations) for i, item in enumerate(value.list_value.values)]
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "number_value":
            return _number(value.number_value, path, violations)
        case "null_value" | None:
            return None


def _number(number: float, path: str, violations: Violations) -> int | float:
    if not math.isfinite(number):
        violations.add(path, "must be a finite number")
    elif number.is_integer() and abs(number) <= EXACT_LIMIT:
        return int(number)
    return number


def _fill(target: Value, value: object, path: str) -> None:
    match value:
        case None:
            target.null_value = NULL_VALUE
        case bool():
            target.bool_value = value
        case str():
            target.string_value = _encodable(value, path)
        case int() if abs(value) > EXACT_LIMIT:
            target.string_value = str(value)
        case int() | float():
            if not math.isfinite(value):
                raise InvalidArgument.of(path, "must be a finite number")
            target.number_value = value
        case Mapping():
            target.struct_value.SetInParent()
            _fill_struct(target.struct_value, value, path)
        case list() | tuple():
            target.list_value.SetInParent()
            for index, item in enumerate(value):
                _fill(target.list_value.values.add(), item, f"{path}[{index}]")
        case _:
            raise InvalidArgument.of(path, f"{type(value).__name__} is not a JSON value")


def _fill_struct(struct: Struct, value: Mapping[str, object], path: str) -> None:
    for key, item in value.items():
        _fill(struct.fields[_encodable(key, path)], item, _member(path, key))


def _encodable(text: str, path: str) -> str:
    if _SURROGATE.search(text):
        raise InvalidArgument.of(path, "must not contain lone surrogates")
    return text


def _check(value: object, path: str, violations: Violations, depth: int) -> None:
    match value:
        case str():
            if _UNSTORABLE.search(value):
                violations.add(path, "must not contain NUL characters or lone surrogates")
        case Mapping() | list() | tuple() if depth == 0:
            violations.add(path, f"must not be nested deeper than {MAX_DEPTH} levels")
        case Mapping():
            for key, item in value.items():
                _check(str(key), path, violations, depth)
                _check(item, _member(path, str(key)), violations, depth - 1)
        case list() | tuple():
            for index, item in enumerate(value):
                _check(item, f"{path}[{index}]", violations, depth - 1)
        case _:
            pass


def _member(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
