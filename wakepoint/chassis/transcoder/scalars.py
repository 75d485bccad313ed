"""Single values of a field: JSON has fewer kinds of them than protobuf."""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
import re

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

SURROGATE = re.compile("[\ud800-\udfff]")

_WHOLE = re.compile(r"-?[0-9]{1,20}")
_LONGEST_LIST_OF_NAMES = 20


class Unfit(Exception):
    """A value that its field cannot have; the text says what it must be."""


def read_scalar(field: FieldDescriptor, value: object) -> object:
    """The value as the field has it. Unfit where it cannot."""
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _bytes(value) if field.type == FieldDescriptor.TYPE_BYTES else _text(value)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise Unfit("must be a boolean")
        return value
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        assert field.enum_type is not None
        return _enum(field.enum_type, value)
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return _number(value)
    low, high = _BOUNDS[kind]
    return _whole(value, low, high)


_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit("must be a string")
    if SURROGATE.search(value):
        raise Unfit("must not contain NUL characters or lone surrogates")
    return value


def _bytes(value: object) -> bytes:
    try:
        text = _text(value).replace("-", "+").replace("_", "/")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (Unfit, binascii.Error, ValueError):
        raise Unfit("must be base64") from None


def _whole(value: object, low: int, high: int) -> int:
    found: int | None = None
    if isinstance(value, float):
        found = int(value) if value.is_integer() else None
    elif isinstance(value, str):
        found = int(value) if _WHOLE.fullmatch(value) else None
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    if found is None or not low <= found <= high:
        raise Unfit(f"must be a whole number from {low} to {high}")
    return found


def _number(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            number = float(value)
            if math.isfinite(number):
                return number
    raise Unfit("must be a finite number")


def _enum(enum: EnumDescriptor, value: object) -> int:
    if isinstance(value, str) and (known := enum.values_by_name.get(value)) is not None:
        return known.number
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return value
    names = [item.name for item in enum.values]
    shown = ", ".join(names[:_LONGEST_LIST_OF_NAMES]) + (", …" if len(names) > _LONGEST_LIST_OF_NAMES else "")
    raise Unfit(f"must be one of {shown}")
