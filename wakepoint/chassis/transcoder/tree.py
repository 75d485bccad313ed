"""One JSON tree out of a request's body, path and query, with every field under its name in the proto."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from wakepoint.chassis.errors import InvalidArgument, Violations
from wakepoint.chassis.transcoder.routes import WHOLE_BODY, Match

FREE_FORM = "google.protobuf."
"""Messages below this name have JSON forms of their own, whose keys are data and no field names."""

_TRUTHS = {"true": True, "false": False}


def tree_of(match: Match, body: object, query: Iterable[tuple[str, str]], faults: Violations) -> dict[str, Any]:
    """The request as JSON. What belongs nowhere, or comes twice with different values, is noted in `faults`.

    `body` is JSON, and is left out of account where the route has none. InvalidArgument for one that is no object.
    """
    route, message = match.route, match.route.rpc.input_type
    tree: dict[str, Any] = {}
    if route.body == WHOLE_BODY:
        named = by_proto_names(message, body, "", faults)
        if not isinstance(named, dict):
            raise InvalidArgument.of("body", "must be a dictionary")
        tree = named
    elif route.body:
        field = message.fields_by_name[route.body]
        tree[route.body] = _value_by_names(field, body, route.body, faults)
    for path, text in match.variables.items():
        _put_variable(message, tree, path, text, faults)
    _put_query(match, tree, query, faults)
    return tree


def by_proto_names(message: Descriptor, value: object, path: str, faults: Violations) -> object:
    """The JSON of a message with camel-case keys replaced by the names in the proto; unknown keys stay as they are."""
    if not isinstance(value, dict) or message.full_name.startswith(FREE_FORM):
        return value
    named: dict[str, Any] = {}
    for key, item in value.items():
        field = field_named(message, key)
        name = field.name if field is not None else key
        at = f"{path}.{name}" if path else name
        if name in named:
            faults.add(at, "comes twice")
        named[name] = item if field is None else _value_by_names(field, item, at, faults)
    return named


def field_named(message: Descriptor, name: str) -> FieldDescriptor | None:
    """The field with this name in the proto or in JSON."""
    field = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)
    return field or next((field for field in message.fields if field.json_name == name), None)


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _value_by_names(field: FieldDescriptor, value: object, path: str, faults: Violations) -> object:
    if field.message_type is None:
        return value
    if is_map(field):
        entry = field.message_type.fields_by_name["value"]
        if not isinstance(value, dict):
            return value
        return {key: _value_by_names(entry, item, f"{path}.{key}", faults) for key, item in value.items()}
    if field.is_repeated:
        if not isinstance(value, list):
            return value
        return [by_proto_names(field.message_type, item, f"{path}[{i}]", faults) for i, item in enumerate(value)]
    return by_proto_names(field.message_type, value, path, faults)


def _put_variable(message: Descriptor, tree: dict[str, Any], path: str, text: str, faults: Violations) -> None:
    *parents, last = path.split(".")
    for name in parents:
        field = message.fields_by_name[name]
        if tree.get(name) is None:
            tree[name] = {}
        if not isinstance(tree[name], dict):
            return  # reading the tree will say so
        assert field.message_type is not None
        message, tree = field.message_type, tree[name]
    value = _from_text(message.fields_by_name[last], text)
    if tree.get(last) not in (None, "", value):
        faults.add(path, "must be left out or be as in the path")
    tree[last] = value


def _put_query(match: Match, tree: dict[str, Any], query: Iterable[tuple[str, str]], faults: Violations) -> None:
    together: dict[str, list[str]] = {}
    for name, text in query:
        together.setdefault(name, []).append(text)
    taken = {*match.route.template.fields, match.route.body}
    for name, texts in together.items():
        found = _find(match.route.rpc.input_type, name)
        if found is None:
            faults.add(name, "is not a parameter of this method")
        elif isinstance(found, str):
            faults.add(name, found)
        elif found[0] in taken or found[0].partition(".")[0] == match.route.body:
            faults.add(found[0], "is told by the path or the body, not by the query")
        else:
            _put_parameter(tree, found[0], found[1], texts, faults)


def _find(message: Descriptor, name: str) -> tuple[str, FieldDescriptor] | str | None:
    """A parameter's path in the names of the proto, with its field; why it cannot be one; None for an unknown one."""
    path: list[str] = []
    field: FieldDescriptor | None = None
    for part in name.split("."):
        if field is not None:
            if field.message_type is None or field.is_repeated or field.message_type.full_name.startswith(FREE_FORM):
                return None
            message = field.message_type
        field = field_named(message, part)
        if field is None:
            return None
        path.append(field.name)
    assert field is not None
    if field.message_type is not None and not _fits_into_text(field):
        return "cannot be told by the query"
    return ".".join(path), field


_TEXT_FORMS = ("Timestamp", "Duration", "FieldMask")


def _fits_into_text(field: FieldDescriptor) -> bool:
    name = field.message_type.full_name if field.message_type is not None else ""
    return not field.is_repeated and name.removeprefix(FREE_FORM) in _TEXT_FORMS


def _put_parameter(
    tree: dict[str, Any], path: str, field: FieldDescriptor, texts: list[str], faults: Violations
) -> None:
    *parents, last = path.split(".")
    for name in parents:
        if tree.get(name) is None:
            tree[name] = {}
        tree = tree[name]
        if not isinstance(tree, dict):
            faults.add(path, "comes twice")
            return
    if last in tree or (len(texts) > 1 and not field.is_repeated):
        faults.add(path, "comes twice")
    elif field.is_repeated:
        tree[last] = [_from_text(field, text) for text in texts]
    else:
        tree[last] = _from_text(field, texts[0])


def _from_text(field: FieldDescriptor, text: str) -> object:
    """A path's or a query's text as JSON; one that is wrong stays text, and reading it will say what is wrong."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _TRUTHS.get(text, text)
    if field.type == FieldDescriptor.TYPE_ENUM and text.isascii() and text.removeprefix("-").isdecimal():
        return int(text)
    return text
