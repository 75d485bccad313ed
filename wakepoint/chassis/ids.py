"""Ids: UUIDv7 as text. They sort by creation time, so that indexes grow at one end, on every Postgres since 14."""

from __future__ import annotations

import re
from uuid import UUID

from uuid_utils.compat import uuid7

from wakepoint.chassis.errors import InvalidArgument

_CANONICAL = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def new_id() -> str:
    """A new UUIDv7 in its canonical lower-case text form."""
    return str(uuid7())


def is_id(text: str) -> bool:
    """Whether the text is a UUID in the canonical form with hyphens, of any version and letter case."""
    return _CANONICAL.fullmatch(text) is not None


def parse_id(text: str, field: str) -> str:
    """The id in lower case. InvalidArgument naming `field` when the text is no UUID, so that none reaches a query."""
    if not is_id(text):
        raise InvalidArgument.of(field, "must be a UUID", reason="INVALID_ID")
    return str(UUID(text))
