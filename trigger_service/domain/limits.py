"""How large what is stored may be. Ids are bounded in bytes, because index rows are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

MAX_ID_BYTES = 255
MAX_NAME_CHARACTERS = 200
MAX_JOB_NAME_BYTES = 1_024
MAX_JSON_BYTES = 256 * 1024
"""Attributes of a job and input of a run, as JSON text."""
MAX_GRAPH_BYTES = 1024 * 1024
"""A graph as JSON text: two of them and their requests still fit into one message to the runner."""
MAX_BATCH = 1_000
MAX_ANSWER_BYTES = 3 * 1024 * 1024
"""What is answered at once of something that can be asked for in parts: gRPC takes 4 MiB unless told otherwise."""
MAX_HEARTBEAT_TIMEOUT = timedelta(days=366)
"""How long a running job may be silent at most, if it promises to be heard at all."""
MAX_DEPTH = 1_000_000
"""Far past any loop limit, far below the end of a 32-bit column."""


def id_problem(text: str, *, required: bool = True) -> str | None:
    """What is wrong with a given id, or None."""
    if not text:
        return "must not be empty" if required else None
    # The common case is told from the length in characters alone: no character takes more than four bytes.
    if len(text) * 4 > MAX_ID_BYTES and len(text.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        return f"must not be longer than {MAX_ID_BYTES} bytes"
    return None


def json_problem(value: Mapping[str, object]) -> str | None:
    """What is wrong with the size of a JSON object, or None."""
    if value and len(json.dumps(value, ensure_ascii=False)) > MAX_JSON_BYTES:
        return f"must not be longer than {MAX_JSON_BYTES} characters as JSON"
    return None
