"""Headers that stand for fields of the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wakepoint.chassis.errors import Violations
from wakepoint.chassis.transcoder.routes import Match
from wakepoint.chassis.transcoder.streams import Resumable


def put_headers(
    match: Match, tree: dict[str, Any], headers: Mapping[str, str], resumable: Resumable | None, faults: Violations
) -> None:
    """`Last-Event-ID` is where a stream goes on; `If-Match` is the request's etag, unless it has one already.

    Etags are in the messages as they are in headers: quoted.
    """
    last = headers.get("last-event-id")
    if last is not None and resumable is not None:
        tree[resumable.resume] = last
    etag = headers.get("if-match", "*").strip()
    if etag == "*":
        return
    if "," in etag:
        faults.add("if-match", "must be one etag")
    holder = _holder_of_etag(match, tree)
    if holder is not None and not holder.get("etag"):
        holder["etag"] = etag.removeprefix("W/")


def _holder_of_etag(match: Match, tree: dict[str, Any]) -> dict[str, Any] | None:
    """The request itself, or the resource that is its body; None where neither has an etag."""
    message = match.route.rpc.input_type
    if "etag" in message.fields_by_name:
        return tree
    body = message.fields_by_name.get(match.route.body)
    if body is None or body.message_type is None or "etag" not in body.message_type.fields_by_name:
        return None
    holder = tree.get(match.route.body)
    return holder if isinstance(holder, dict) else None
