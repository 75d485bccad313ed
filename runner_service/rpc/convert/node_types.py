"""Node types, and what is wrong with graphs that use them."""

from collections.abc import Iterable

from runner_service.nodes.registry import NodeTypeDescription
from wakepoint.chassis.errors import FieldViolation
from wakepoint.chassis.protojson import python_to_struct
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls


def node_type_to_message(described: NodeTypeDescription) -> messages.NodeType:
    """A type on offer."""
    return messages.NodeType(
        type=described.type,
        kind=described.kind,
        description=described.description,
        properties_schema=python_to_struct(described.properties_schema),
        inputs=described.inputs,
        outputs=described.outputs,
    )


def report_to_message(violations: Iterable[FieldViolation]) -> calls.ValidateGraphResponse:
    """What is wrong with a graph; each fault once."""
    found = [messages.FieldViolation(field=v.field, description=v.description) for v in dict.fromkeys(violations)]
    return calls.ValidateGraphResponse(violations=found)
