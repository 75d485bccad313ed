"""Asking over REST what a message asks over gRPC: the annotations read a second time, from the client's side."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message


@dataclass(frozen=True)
class Asked:
    """An HTTP request; `body` is b"" for none."""

    method: str
    path: str
    query: str
    body: bytes

    @property
    def url(self) -> str:
        return self.path + (f"?{self.query}" if self.query else "")


def rules_of(rpc: MethodDescriptor) -> list[HttpRule]:
    """A method's bindings; none where it has no annotation."""
    rule = rpc.GetOptions().Extensions[annotations_pb2.http]
    return [rule, *rule.additional_bindings] if rule.WhichOneof("pattern") else []


def annotated(service: ServiceDescriptor) -> list[MethodDescriptor]:
    """The methods that REST has."""
    return [rpc for rpc in service.methods if rules_of(rpc)]


def asked(rule: HttpRule, message: Message, *, camel_case: bool = False) -> Asked:
    """How a client says the message by this binding."""
    pattern = rule.WhichOneof("pattern")
    assert pattern is not None
    path = str(getattr(rule, pattern))
    # Names without capitals are the same either way as long as one segment of a path is concerned.
    left = json_format.MessageToDict(message, preserving_proto_field_name=True)
    for field in _fields_in(path):
        text = str(_taken(left, field.split(".")))
        path = path.replace("{" + field + "}", quote(text, safe=""))
    body: Any = None
    if rule.body == "*":
        body, left = left, {}
    elif rule.body:
        body = left.pop(rule.body, None)
    if camel_case:
        body, left = _camel(body), _camel(left)
    query = urlencode([(name, _text(value)) for name, values in left.items() for value in _list(values)])
    return Asked(pattern.upper(), path, query, b"" if body is None else json.dumps(body).encode())


def _fields_in(path: str) -> list[str]:
    return [part.partition("}")[0] for part in path.split("{")[1:]]


def _taken(tree: dict[str, Any], path: list[str]) -> Any:
    if len(path) == 1:
        return tree.pop(path[0])
    return _taken(tree[path[0]], path[1:])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _camel(value: Any) -> Any:
    """Names of fields at the top only: what lies deeper may be data."""
    if not isinstance(value, dict):
        return value
    return {_camel_name(name): item for name, item in value.items()}


def _camel_name(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
