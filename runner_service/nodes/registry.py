"""The node types that this runner offers."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic.errors import PydanticInvalidForJsonSchema

from runner_service.domain.node_types import NodeTypeFacts
from runner_service.nodes.loading import NodeLoadError, check_class, find_classes
from runner_service.nodes.properties import NodeProperties
from wakepoint.nodes import Node


@dataclass(frozen=True, slots=True)
class NodeTypeDescription:
    """A node type as ListNodeTypes tells it. `inputs` is empty where any name will do."""

    type: str
    kind: str
    description: str
    properties_schema: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class NodeRegistry:
    """Node classes by the type names that graphs use. It never changes once it is made."""

    def __init__(self, classes: Iterable[type[Node]]) -> None:
        self._classes: dict[str, type[Node]] = {}
        self._properties: dict[str, NodeProperties] = {}
        self._descriptions: list[NodeTypeDescription] = []
        for node_class in classes:
            self._add(node_class)
        self._facts = {name: self._facts_of(name) for name in self._classes}

    @classmethod
    def load(cls, files: Sequence[Path] = ()) -> "NodeRegistry":
        """The built-in types, those of installed packages (entry point group `wakepoint.nodes`) and those in `files`.

        Raises NodeLoadError when something cannot be imported or run, or when two types have one name.
        """
        return cls(find_classes(tuple(files)))

    @property
    def facts(self) -> Mapping[str, NodeTypeFacts]:
        """What validating and planning need to know of each type."""
        return MappingProxyType(self._facts)

    def get(self, node_type: str) -> type[Node]:
        """The class of a type; KeyError when it is not installed."""
        return self._classes[node_type]

    def build(self, node_type: str, node_id: str, properties: Mapping[str, Any], values: Mapping[str, Any]) -> Node:
        """A node whose templates are rendered over `values` (`input`, `inputs`, `run`).

        Raises NodeError, final, naming the property that does not fit; KeyError for a type that is not installed.
        """
        return self._properties[node_type].build(node_id, properties, values)

    def describe(self) -> list[NodeTypeDescription]:
        """Every type, by name."""
        return sorted(self._descriptions, key=lambda description: description.type)

    def _add(self, node_class: type[Node]) -> None:
        name = node_class.type_name()
        known = self._classes.get(name)
        if known is node_class:
            return
        if known is not None:
            places = " and ".join(f"{c.__module__}.{c.__qualname__}" for c in (known, node_class))
            raise NodeLoadError(f"two node types are called {name!r}: {places}")
        check_class(node_class)
        self._classes[name] = node_class
        self._properties[name] = NodeProperties(node_class)
        self._descriptions.append(self._description_of(name))

    def _description_of(self, name: str) -> NodeTypeDescription:
        node_class = self._classes[name]
        try:
            schema = self._properties[name].schema()
        except PydanticInvalidForJsonSchema as error:
            raise NodeLoadError(f"{name} has a property without a JSON form: {error}") from error
        return NodeTypeDescription(
            type=name,
            kind=node_class.kind,
            description=inspect.cleandoc(node_class.__doc__ or ""),
            properties_schema=schema,
            inputs=node_class.input_names or (),
            outputs=node_class.output_names,
        )

    def _facts_of(self, name: str) -> NodeTypeFacts:
        node_class = self._classes[name]
        return NodeTypeFacts(
            is_trigger=node_class.kind == "trigger",
            output_names=node_class.output_names,
            input_names=node_class.input_names,
            exclusive_outputs=node_class.exclusive_outputs,
            check_properties=self._properties[name].faults,
        )
