"""From an HTTP request to the message that a method takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request

from wakepoint.chassis.errors import FieldViolation, InvalidArgument, Violations
from wakepoint.chassis.transcoder import requests
from wakepoint.chassis.transcoder.headers import put_headers
from wakepoint.chassis.transcoder.reading import read_message
from wakepoint.chassis.transcoder.routes import WHOLE_BODY, Match
from wakepoint.chassis.transcoder.streams import Resumable
from wakepoint.chassis.transcoder.tree import tree_of
from wakepoint.chassis.transcoder.writing import LARGE_BYTES


@dataclass(frozen=True, slots=True)
class Special:
    """What a method's annotations cannot say.

    `explain` is asked when a request cannot be read as the method's message: it is given the request as JSON, under the
    names of the proto, and tells what else is wrong with it, so that its sender is told everything at once. `resumable`
    is for streams.
    """

    explain: Callable[[Mapping[str, Any]], Iterable[FieldViolation]] | None = None
    resumable: Resumable | None = None


async def message_of(match: Match, request: Request, special: Special, max_body_bytes: int) -> Message:
    """The method's message. InvalidArgument names everything that is wrong; Refusal."""
    body = await requests.read_bytes(request, max_body_bytes)
    if match.route.body:
        requests.check_is_json(request, body)
    reading = partial(_read, match, request, body, special.resumable)
    # Reading takes longer than receiving: while a large body is read, others get the event loop.
    read = await asyncio.to_thread(reading) if len(body) > LARGE_BYTES else reading()
    if read.faults:
        told = dict.fromkeys([*(special.explain(read.tree) if special.explain else ()), *read.faults])
        raise InvalidArgument.from_violations(told)
    return read.message


@dataclass(frozen=True, slots=True)
class _Read:
    message: Message
    tree: Mapping[str, Any]
    faults: Violations


def _read(match: Match, request: Request, body: bytes, resumable: Resumable | None) -> _Read:
    faults = Violations()
    content: object = None
    if match.route.body:
        nothing: object = {} if match.route.body == WHOLE_BODY else None
        content = requests.parse_json(body) if body.strip() else nothing
    elif body:
        faults.add("body", "must be empty: this method takes what it needs from the path and the query")
    tree = tree_of(match, content, requests.query_of(request), faults)
    put_headers(match, tree, request.headers, resumable, faults)
    message = GetMessageClass(match.route.rpc.input_type)()
    read_message(message, tree, "", faults)
    return _Read(message, tree, faults)
