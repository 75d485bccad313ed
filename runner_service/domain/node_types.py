"""What the domain knows of a node type: enough to validate and to plan, nothing of how it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wakepoint.chassis.errors import FieldViolation


@dataclass(frozen=True, slots=True)
class NodeTypeFacts:
    """`exclusive_outputs`: one passage gives a value on one output only. `check_properties` answers every fault of a
    node's properties, with paths relative to the properties.
    """

    is_trigger: bool
    output_names: tuple[str, ...]
    input_names: tuple[str, ...] | None
    exclusive_outputs: bool
    check_properties: Callable[[Mapping[str, Any]], list[FieldViolation]]


NodeTypes = Mapping[str, NodeTypeFacts]
