"""From a request to a trigger event."""

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from runner_service.domain.trigger_events import MAX_EVENT_BYTES, TriggerEvent, faults_of
from runner_service.http.answers import Refused
from wakepoint.chassis.errors import Violations
from wakepoint.chassis.ids import new_id
from wakepoint.chassis.protojson import check_text

WEBHOOK_SOURCE = "wakepoint/webhook"
WEBHOOK_TYPE = "wakepoint.webhook"
ID_HEADERS = ("idempotency-key", "webhook-id", "x-github-delivery")

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 1_000
_GITHUB_EVENT = re.compile(r"[a-z0-9_]{1,100}")


@dataclass(frozen=True, slots=True)
class Content:
    """A body as nodes see it: a `payload`, or for what is neither JSON nor a form the bytes themselves."""

    payload: Any = None
    content_type: str = ""
    body_base64: str = ""


async def read_body(request: Request, limit: int = MAX_EVENT_BYTES) -> bytes:
    """The body. Refuses more than `limit` bytes, before reading them where the sender says how many there are."""
    declared = request.headers.get("content-length", "")
    body = bytearray()
    if not (declared.isdecimal() and int(declared) > limit):
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        except ClientDisconnect:
            raise Refused(400, "DISCONNECTED", "the sender went away") from None
    raise Refused(413, "TOO_LARGE", f"the body has more than {limit} bytes")


def content_of(request: Request, body: bytes) -> Content:
    """Read the body by its content type; without a body, the fields of the query. Refuses what cannot be stored."""
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if not body:
        content = Content(_fields(request.url.query))
    elif media_type == "application/json" or media_type.endswith("+json"):
        content = Content(_json(body))
    elif media_type == _FORM:
        content = Content(_form(body))
    else:
        content = Content(None, content_type, base64.b64encode(body).decode())
    faults = Violations()
    check_text(content.payload, "payload", faults)
    for fault in faults:
        raise Refused(400, "INVALID_BODY", f"{fault.field}: {fault.description}")
    return content


def event_of(request: Request, content: Content, now: datetime, event_id: str = "") -> TriggerEvent:
    """The event. Its id comes from the sender where there is one, so that what is sent twice counts once."""
    given = next((request.headers[name] for name in ID_HEADERS if request.headers.get(name)), event_id)
    event = TriggerEvent(
        event_id=given or new_id(),
        source=WEBHOOK_SOURCE,
        type=_type_of(request),
        payload=content.payload,
        occur_time=now,
        content_type=content.content_type,
        body_base64=content.body_base64,
    )
    for fault in faults_of(event):
        raise Refused(400, "INVALID_EVENT", f"{fault.field}: {fault.description}")
    return event


def _type_of(request: Request) -> str:
    event = request.headers.get("x-github-event", "")
    return f"github.{event}" if _GITHUB_EVENT.fullmatch(event) else WEBHOOK_TYPE


def _json(body: bytes) -> Any:
    try:
        value = json.loads(body, parse_constant=_no_number)
        # A number such as 1e999 is read as infinity, which no database keeps.
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        raise Refused(400, "INVALID_BODY", "the body is not JSON") from None
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _form(body: bytes) -> Any:
    # `curl -d '{…}'` calls everything a form, and no form begins like that.
    if body.lstrip()[:1] == b"{":
        return _json(body)
    try:
        return _fields(body.decode())
    except UnicodeDecodeError:
        raise Refused(400, "INVALID_BODY", "the form is not UTF-8") from None


def _fields(text: str) -> dict[str, str | list[str]]:
    """A field that comes several times becomes a list."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise Refused(400, "INVALID_BODY", "the form cannot be read") from None
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items()}
