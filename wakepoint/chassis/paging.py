"""Page tokens: where a walk through a list stands, bound to the query that began it.

A token is opaque to clients but not secret, and a client can forge one. It therefore holds nothing that grants access:
every query checks its scope itself, and a forged key leads only to another place in a list that the caller may see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, Self

from wakepoint.chassis.errors import InvalidArgument

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

_MAX_TOKEN_CHARACTERS = 4096


def page_size_of(requested: int) -> int:
    """The size to use: 50 when nothing was asked for, never above 1000. InvalidArgument below zero."""
    if requested < 0:
        raise InvalidArgument.of("page_size", "must not be negative")
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def filter_hash(method: str, filters: Mapping[str, object]) -> str:
    """A short name for one query: the method and every field of the request that narrows or orders the list.

    Times, ids and enums are compared by their text, so that any plain value will do.
    """
    text = json.dumps([method, filters], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PageToken:
    """`as_of`: when the walk began, by the database's clock; `key`: the order key of the last row that was shown."""

    filter_hash: str
    as_of: datetime
    key: tuple[str | int, ...]

    def encode(self) -> str:
        """The token as it goes into `next_page_token`."""
        text = json.dumps([self.filter_hash, self.as_of.astimezone(UTC).isoformat(), self.key], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, *, filter_hash: str) -> Self | None:
        """The token in a request's `page_token`; None for the first page. InvalidArgument: garbage, another query's."""
        if not text:
            return None
        token = cls._parse(text)
        if token.filter_hash != filter_hash:
            _refuse("belongs to another query: repeat the request with the same filters, or without a token")
        return token

    @classmethod
    def _parse(cls, text: str) -> Self:
        try:
            if len(text) > _MAX_TOKEN_CHARACTERS:
                raise ValueError("too long")
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            found, as_of, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            moment = datetime.fromisoformat(as_of)
            if not isinstance(found, str) or moment.tzinfo is None or not all(_is_plain(part) for part in key):
                raise ValueError("not ours")
            return cls(found, moment, tuple(key))
        except (ValueError, TypeError, RecursionError, binascii.Error):
            _refuse("is not a token that this service gave out")


def _is_plain(part: object) -> bool:
    return (isinstance(part, str) and part.isprintable()) or (type(part) is int and abs(part) < 2**63)


def _refuse(description: str) -> NoReturn:
    raise InvalidArgument.of("page_token", description, reason="INVALID_PAGE_TOKEN") from None
