"""From JSON to messages, naming everything that does not fit: where it stands, and what it must be."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from wakepoint.chassis.errors import InvalidArgument, Violations
from wakepoint.chassis.protojson import check_text, python_to_struct, python_to_value
from wakepoint.chassis.transcoder.scalars import SURROGATE, Unfit, read_scalar
from wakepoint.chassis.transcoder.tree import by_proto_names, is_map

NO_DICTIONARY = "must be a dictionary"


def read_json(target: Message, value: object, path: str, faults: Violations) -> None:
    """Fill `target` from the JSON of a message; what is wrong is noted below `path`, and left out."""
    message: Any = target.DESCRIPTOR  # two types in the stubs, one in practice
    tree = by_proto_names(message, value, path, faults)
    if isinstance(tree, Mapping):
        read_message(target, tree, path, faults)
    else:
        faults.add(path, NO_DICTIONARY)


def read_message(target: Message, tree: Mapping[str, Any], path: str, faults: Violations) -> None:
    """Fill `target` from a tree with the proto's names; what is wrong is noted below `path`, and left out."""
    fields: Mapping[str, Any] = target.DESCRIPTOR.fields_by_name
    for name, value in tree.items():
        at = f"{path}.{name}" if path else name
        field: FieldDescriptor | None = fields.get(name)
        if field is None:
            faults.add(at, "is not a known field")
        elif value is not None or _takes_null(field):
            _read_field(target, field, value, at, faults)


def _read_field(target: Message, field: FieldDescriptor, value: object, at: str, faults: Violations) -> None:
    if is_map(field):
        _read_map(target, field, value, at, faults)
    elif field.is_repeated:
        _read_list(target, field, value, at, faults)
    elif field.message_type is not None:
        child: Message = getattr(target, field.name)
        child.SetInParent()
        _fill(child, value, at, faults)
    else:
        try:
            setattr(target, field.name, read_scalar(field, value))
        except Unfit as fault:
            faults.add(at, str(fault))


def _read_list(target: Message, field: FieldDescriptor, value: object, at: str, faults: Violations) -> None:
    if not isinstance(value, list):
        faults.add(at, "must be a list")
        return
    items = getattr(target, field.name)
    for index, item in enumerate(value):
        if field.message_type is not None:
            _fill(items.add(), item, f"{at}[{index}]", faults)
            continue
        try:
            items.append(read_scalar(field, item))
        except Unfit as fault:
            faults.add(f"{at}[{index}]", str(fault))


def _read_map(target: Message, field: FieldDescriptor, value: object, at: str, faults: Violations) -> None:
    """Keys are text: no request has a map of another kind."""
    if not isinstance(value, Mapping):
        faults.add(at, NO_DICTIONARY)
        return
    assert field.message_type is not None
    of_key, of_value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    entries = getattr(target, field.name)
    for key, item in value.items():
        try:
            if of_value.message_type is not None:
                _fill(entries[read_scalar(of_key, key)], item, f"{at}.{key}", faults)
            else:
                entries[read_scalar(of_key, key)] = read_scalar(of_value, item)
        except Unfit as fault:
            faults.add(f"{at}.{key}", str(fault))


def _fill(target: Message, value: object, at: str, faults: Violations) -> None:
    match target:
        case Struct() | Value() | ListValue():
            _fill_free_form(target, value, at, faults)
        case Timestamp():
            _fill_from_text(target.FromJsonString, value, at, "must be a time such as 2027-01-31T12:00:00Z", faults)
        case Duration():
            _fill_from_text(target.FromJsonString, value, at, "must be a duration such as 90s", faults)
        case FieldMask():
            _fill_mask(target, value, at, faults)
        case _ if isinstance(value, Mapping):
            read_message(target, value, at, faults)
        case _:
            faults.add(at, NO_DICTIONARY)


def _fill_free_form(target: Struct | Value | ListValue, value: object, at: str, faults: Violations) -> None:
    wrong = Violations()
    check_text(value, at, wrong)
    if isinstance(target, Struct) and not isinstance(value, Mapping):
        wrong.add(at, NO_DICTIONARY)
    if isinstance(target, ListValue) and not isinstance(value, list):
        wrong.add(at, "must be a list")
    faults.extend(wrong)
    if wrong:
        return
    try:
        if isinstance(target, Struct) and isinstance(value, Mapping):
            target.CopyFrom(python_to_struct(value, at))
        elif isinstance(target, ListValue):
            target.CopyFrom(python_to_value(value, at).list_value)
        elif isinstance(target, Value):
            target.CopyFrom(python_to_value(value, at))
    except InvalidArgument as error:
        faults.extend(error.violations)


def _fill_from_text(fill: Callable[[str], None], value: object, at: str, must_be: str, faults: Violations) -> None:
    if isinstance(value, str):
        with contextlib.suppress(ValueError, OverflowError):
            fill(value)
            return
    faults.add(at, must_be)


def _fill_mask(target: FieldMask, value: object, at: str, faults: Violations) -> None:
    """Paths divided by commas, in the names of the proto or in camel case."""
    if isinstance(value, str) and not SURROGATE.search(value):
        target.paths.extend(re.sub("[A-Z]", lambda m: "_" + m[0].lower(), path) for path in value.split(",") if path)
    else:
        faults.add(at, "must be names of fields, divided by commas")


def _takes_null(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == Value.DESCRIPTOR.full_name
