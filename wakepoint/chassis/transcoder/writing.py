"""From messages to JSON: names as in the proto, defaults printed, int64 as text, enums by name."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from wakepoint.chassis.protojson import EXACT_LIMIT

LARGE_BYTES = 100_000
"""From here on the work is done in a thread, so that others get the event loop meanwhile."""


def plain(message: Message) -> dict[str, Any]:
    """The message as what JSON has."""
    printed = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {name: _with_integers(value) for name, value in printed.items()}


async def json_of(message: Message, field: str = "") -> bytes:
    """The message, or one field of it, as JSON text on one line."""
    if message.ByteSize() > LARGE_BYTES:
        return await asyncio.to_thread(_json_of, message, field)
    return _json_of(message, field)


def as_json(value: object) -> bytes:
    """A JSON value as text on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _json_of(message: Message, field: str) -> bytes:
    printed = plain(message)
    return as_json(printed.get(field) if field else printed)


def _with_integers(value: Any) -> Any:
    """Protobuf's free-form values have doubles only; integral ones read as integers here as they do in nodes."""
    match value:
        case float() if value.is_integer() and abs(value) <= EXACT_LIMIT:
            return int(value)
        case dict():
            return {key: _with_integers(item) for key, item in value.items()}
        case list():
            return [_with_integers(item) for item in value]
        case _:
            return value
