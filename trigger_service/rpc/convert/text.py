"""Whether the text in a message can be stored at all."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from wakepoint.chassis.errors import Violations
from wakepoint.chassis.protojson import check_text, struct_to_python


def storable(request: Message) -> None:
    """InvalidArgument naming every text or free-form value of a request that Postgres cannot hold."""
    faults = Violations()
    for field, value in request.ListFields():
        if isinstance(value, str):
            check_text(value, field.name, faults)
        elif isinstance(value, Struct):
            check_text(struct_to_python(value, field.name), field.name, faults)
    faults.raise_if_any()
