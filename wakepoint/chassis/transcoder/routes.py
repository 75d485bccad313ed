"""Which method answers which request, read from the `google.api.http` annotations of a service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from wakepoint.chassis.transcoder.paths import Template, parse_template, readings_of

WHOLE_BODY = "*"
_VERBS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class Route:
    """One annotated way to call one RPC.

    `body` is "" for none, "*" for the whole request, or the field that the body is; `response_body` is "" for the whole
    answer or the field of it that is answered.
    """

    http_method: str
    template: Template
    rpc: MethodDescriptor
    body: str
    response_body: str

    def __str__(self) -> str:
        return f"{self.http_method} {self.template.text}"


@dataclass(frozen=True, slots=True)
class Match:
    """A route that fits a path, and what the path says: texts by field path."""

    route: Route
    variables: Mapping[str, str]


class Router:
    """Finds routes; literal segments beat variables. ValueError for two routes that could not be told apart."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(sorted(routes, key=lambda route: route.template.vagueness))
        shapes: dict[tuple[object, ...], Route] = {}
        for route in self.routes:
            other = shapes.setdefault((route.http_method, *route.template.shape), route)
            if other is not route:
                raise ValueError(f"{route} and {other} match the same requests")

    def find(self, raw_path: str) -> Sequence[Match]:
        """Every route that fits the path, whatever its HTTP method, the most specific first. ValueError: no UTF-8.

        A known verb at the end is never read as a part of an id.
        """
        for path in readings_of(raw_path):
            matches = [(route, route.template.match(path)) for route in self.routes]
            found = [Match(route, variables) for route, variables in matches if variables is not None]
            if found:
                return found
        return ()


def routes_of(service: ServiceDescriptor) -> Iterator[Route]:
    """A service's routes. ValueError for an annotation that names what is not there; methods without one have none."""
    for rpc in service.methods:
        rule = rpc.GetOptions().Extensions[annotations_pb2.http]
        if rule.WhichOneof("pattern") is not None:
            for binding in (rule, *rule.additional_bindings):
                yield _route(rpc, binding)


def field_at(message: Descriptor, path: str) -> FieldDescriptor:
    """The field that a dotted path leads to through singular messages. ValueError where it leads nowhere."""
    first, _, rest = path.partition(".")
    field = message.fields_by_name.get(first)
    if field is None:
        raise ValueError(f"{message.full_name} has no field {first}")
    if not rest:
        return field
    if field.message_type is None or field.is_repeated:
        raise ValueError(f"{message.full_name}.{first} has no fields of its own")
    return field_at(field.message_type, rest)


def _route(rpc: MethodDescriptor, rule: HttpRule) -> Route:
    verb = rule.WhichOneof("pattern")
    if verb not in _VERBS:
        raise ValueError(f"{rpc.full_name}: {verb} is not supported")
    route = Route(verb.upper(), parse_template(str(getattr(rule, verb))), rpc, rule.body, rule.response_body)
    for path in route.template.fields:
        field = field_at(rpc.input_type, path)
        if field.is_repeated or field.message_type is not None:
            raise ValueError(f"{route}: {path} does not fit into a path")
    if rule.body not in ("", WHOLE_BODY):
        field_at(rpc.input_type, rule.body)
    if rule.response_body:
        field_at(rpc.output_type, rule.response_body)
    if rpc.client_streaming or (rpc.server_streaming and rule.response_body):
        raise ValueError(f"{route}: this kind of stream is not supported")
    return route
