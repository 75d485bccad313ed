"""CloudEvents 1.0 as they come over HTTP: binary, structured and batched.

The `cloudevents` package says which attributes are well-formed. Taking a request apart is done here, because its
readers make up an id and a time where there is none, and hand on JSON that cannot be parsed as if it were text.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import OPTIONAL_ATTRIBUTES, REQUIRED_ATTRIBUTES, CloudEvent

from wakepoint.chassis.errors import InvalidArgument, Violations
from wakepoint.chassis.protojson import check_text
from wakepoint.chassis.transcoder.requests import media_type, parse_json, unsupported

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
MAX_BATCH = 1000

_PREFIX = "ce-"
_NAMED = frozenset({*REQUIRED_ATTRIBUTES, *OPTIONAL_ATTRIBUTES})


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """A well-formed event. `data` is JSON, or bytes where its content type is another, or None.

    `extensions` are in their canonical text form; `subject` and `data_schema` are "" where there is none.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime | None
    data_schema: str
    content_type: str
    extensions: Mapping[str, str]
    data: Any


@dataclass(frozen=True, slots=True)
class Received:
    """What one request holds: an error stands in the place of an event that is not well-formed."""

    batched: bool
    events: Sequence[ReceivedEvent | InvalidArgument]

    @property
    def only(self) -> ReceivedEvent:
        """The event of a request that is no batch. InvalidArgument if it is not well-formed."""
        [event] = self.events
        if isinstance(event, InvalidArgument):
            raise event
        return event


def read_events(headers: Mapping[str, str], body: bytes) -> Received:
    """The events of a request. InvalidArgument for a body that is no JSON; 415 for other formats than JSON."""
    kind = media_type(headers)
    if kind == BATCHED:
        items = parse_json(body)
        if not isinstance(items, list) or len(items) > MAX_BATCH:
            raise InvalidArgument.of("body", f"must be a list of at most {MAX_BATCH} events")
        return Received(True, [_of_json(item) for item in items])
    if kind == STRUCTURED:
        return Received(False, [_of_json(parse_json(body))])
    if kind.startswith("application/cloudevents"):
        raise unsupported(f"events must be JSON: {kind[:100]} is not known here")
    return Received(False, [_of_headers(headers, body)])


def _of_json(item: object) -> ReceivedEvent | InvalidArgument:
    """An event in JSON; `null` is the same as nothing there."""
    if not isinstance(item, dict):
        return InvalidArgument.of("body", "must be a dictionary")
    faults = Violations()
    check_text(item, "", faults)
    given = {name: value for name, value in item.items() if value is not None}
    data, encoded = given.pop("data", None), given.pop("data_base64", None)
    attributes = {name: _canonical(name, value, faults) for name, value in given.items()}
    if encoded is not None:
        if data is not None:
            faults.add("data_base64", "must not stand beside data")
        data = _decoded(encoded, faults)
    elif isinstance(data, str) and not is_json(attributes.get("datacontenttype", "")):
        data = data.encode()
    return _checked(attributes, data, faults)


def _of_headers(headers: Mapping[str, str], body: bytes) -> ReceivedEvent | InvalidArgument:
    """An event in binary mode: attributes as headers, data as the body."""
    faults = Violations()
    attributes: dict[str, str] = {}
    for name, value in headers.items():
        if name.startswith(_PREFIX):
            attributes[name.removeprefix(_PREFIX)] = _header_value(name.removeprefix(_PREFIX), value, faults)
    if content_type := headers.get("content-type", ""):
        attributes["datacontenttype"] = content_type
    check_text(attributes, "", faults)
    return _checked(attributes, body or None, faults)


def _checked(attributes: dict[str, str], data: object, faults: Violations) -> ReceivedEvent | InvalidArgument:
    for name in REQUIRED_ATTRIBUTES:
        if name not in attributes:
            faults.add(name, "is missing")
    known: dict[str, Any] = {name: value for name, value in attributes.items() if name != "time"}
    time = _time(attributes["time"], faults) if "time" in attributes else None
    try:
        CloudEvent(known | ({} if time is None else {"time": time}))
    except CloudEventValidationError as error:
        told = {fault.field for fault in faults}
        for name, problems in error.errors.items():
            if name not in told:
                faults.add(name, str(problems[0]))
    content_type = attributes.get("datacontenttype", "")
    data = _data(data, content_type, faults)
    if faults:
        return InvalidArgument.from_violations(faults, reason="MALFORMED_CLOUD_EVENT")
    return ReceivedEvent(
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        subject=attributes.get("subject", ""),
        time=time,
        data_schema=attributes.get("dataschema", ""),
        content_type=content_type,
        extensions={name: value for name, value in attributes.items() if name not in _NAMED},
        data=data,
    )


def is_json(content_type: str) -> bool:
    """Whether data of this content type is JSON; it is where none is told."""
    kind = content_type.partition(";")[0].strip().lower()
    return not kind or kind.endswith(("/json", "+json"))


def _data(data: object, content_type: str, faults: Violations) -> object:
    if isinstance(data, bytes) and is_json(content_type):
        try:
            data = parse_json(data, "data")
        except InvalidArgument as error:
            faults.extend(error.violations)
        check_text(data, "data", faults)
    return data


def _canonical(name: str, value: object, faults: Violations) -> str:
    match value:
        case str():
            return value
        case bool() if name not in _NAMED:
            return "true" if value else "false"
        case int() if name not in _NAMED:
            return str(value)
        case _:
            faults.add(name, "must be a string" if name in _NAMED else "must be a string, a boolean or an integer")
            return ""


def _header_value(name: str, value: str, faults: Violations) -> str:
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        faults.add(name, "must be UTF-8, percent-encoded")
        return ""


def _time(text: str, faults: Violations) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1 < moment.year < 9999:
        faults.add("time", "must be a time such as 2027-01-31T12:00:00Z")
        return None
    return moment


def _decoded(encoded: object, faults: Violations) -> bytes:
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        faults.add("data_base64", "must be base64")
        return b""
