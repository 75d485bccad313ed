"""How values travel to Postgres as the JSON of a batch."""

from datetime import datetime
from typing import Any

from runner_service.domain.history import Line


def hex_bytes(value: bytes) -> str:
    """Bytes in the hex form that `bytea` reads."""
    return "\\x" + value.hex()


def time_text(value: datetime | None) -> str | None:
    """ISO 8601 for `timestamptz`."""
    return None if value is None else value.isoformat()


def line_json(line: Line) -> dict[str, Any]:
    """A line of a log: type, node, activation, payload."""
    return {"t": line.event_type, "n": line.node_id, "a": line.activation, "p": line.payload}
