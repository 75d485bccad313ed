"""What callers may hand over in plain Python, and how answers become plain Python again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.protojson import struct_to_python, value_to_python
from wakepoint.trigger.v1.trigger_pb2 import TriggerBlueprint, TriggerConfig
from wakepoint.workflow.v1.graph_pb2 import Graph

GraphLike = Graph | Mapping[str, object]
"""A Graph, or the same as in JSON: `{"nodes": [{"id", "type", "properties"}], "edges": [{"source", "target"}]}`."""

TriggersLike = Iterable[str] | Mapping[str, bool | Mapping[str, object] | TriggerConfig]
"""Which triggers are on: names, or for each name True, False or its settings as in JSON, `{"condition": "..."}`, which
turn it on unless they say otherwise. Blueprints that are not named get their default."""

MessageType = TypeVar("MessageType", bound=Message)


def graph_of(graph: GraphLike) -> Graph:
    """The graph as a message. InvalidArgument for what is no graph in JSON."""
    return graph if isinstance(graph, Graph) else parse(graph, Graph(), "graph")


def trigger_configs_of(triggers: TriggersLike, blueprints: Iterable[TriggerBlueprint] = ()) -> list[TriggerConfig]:
    """A config for each name, and after them the default of each blueprint that is not named."""
    settings = dict(triggers) if isinstance(triggers, Mapping) else dict.fromkeys(triggers, True)
    for blueprint in blueprints:
        settings.setdefault(blueprint.trigger_type, blueprint.default_is_enabled)
    return [_config(name, setting) for name, setting in settings.items()]


def to_python(message: Struct | Value) -> object:
    """A free-form value of an answer as None, bool, int, float, str, list or dict; integral numbers are ints."""
    return struct_to_python(message) if isinstance(message, Struct) else value_to_python(message)


def parse(value: Mapping[str, object], message: MessageType, field: str) -> MessageType:
    """The message filled from its JSON form. InvalidArgument naming `field` for unknown fields and wrong types."""
    try:
        return ParseDict(dict(value), message)
    except (ParseError, TypeError, ValueError) as error:
        raise InvalidArgument.of(field, str(error)) from error


def _config(trigger_type: str, setting: bool | Mapping[str, object] | TriggerConfig) -> TriggerConfig:
    if isinstance(setting, TriggerConfig):
        return setting
    if isinstance(setting, bool):
        return TriggerConfig(trigger_type=trigger_type, is_enabled=setting)
    named = {"trigger_type": trigger_type, "is_enabled": True, **setting}
    return parse(named, TriggerConfig(), f"triggers.{trigger_type}")
