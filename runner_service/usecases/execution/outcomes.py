"""What a node gave out, checked for whether it can be kept."""

import json
import traceback
from collections.abc import Mapping
from typing import Any

from wakepoint.chassis.errors import Violations
from wakepoint.chassis.protojson import check_text
from wakepoint.nodes import NodeError

MAX_TRACEBACK_CHARACTERS = 16_000
MAX_MESSAGE_CHARACTERS = 16_000


def outputs_of(output_names: tuple[str, ...], value: Any, max_bytes: int) -> dict[str, Any]:
    """The outputs by name. NodeError when the value is no JSON, too large, or names an output that is not there."""
    if output_names == ("output",):
        outputs = {"output": value}
    elif isinstance(value, Mapping) and set(value) <= set(output_names):
        outputs = dict(value)
    else:
        raise NodeError(f"must return a dict with some of the outputs {', '.join(output_names)}", retryable=False)
    return storable(outputs, "output", max_bytes)


def storable(value: Mapping[str, Any], what: str, max_bytes: int) -> dict[str, Any]:
    """The value as plain JSON. NodeError when it is none, or has more than `max_bytes` bytes of it."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise NodeError(f"its {what} cannot be stored as JSON: {error}", retryable=False) from error
    violations = Violations()
    check_text(value, what, violations)
    for violation in violations:
        raise NodeError(f"its {violation.field} cannot be stored: {violation.description}", retryable=False)
    if (size := len(text.encode())) > max_bytes:
        raise NodeError(f"its {what} has {size} bytes, more than {max_bytes}: pass a URI instead", retryable=False)
    plain: dict[str, Any] = json.loads(text)
    return plain


def error_of(error: BaseException) -> dict[str, Any]:
    """{type, message, traceback} for the log; characters that Postgres cannot store are replaced."""
    lines = [] if isinstance(error, NodeError) else traceback.format_exception(error)
    name = type(error).__name__
    return {
        "type": name,
        "message": _clean(_message_of(error)[:MAX_MESSAGE_CHARACTERS]) or name,
        "traceback": _clean("".join(lines)[-MAX_TRACEBACK_CHARACTERS:]),
    }


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 -- an author's error may not even know its own message
        return ""


def _clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
