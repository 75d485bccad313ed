"""Warnings beside an answer whose message has no place for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

KEY = "wakepoint-warning"
"""The trailing metadata in which they are told, one entry a warning; what is not printable ASCII is escaped."""

_log = structlog.stdlib.get_logger(__name__)


def tell(context: Any, warnings: Sequence[str], **about: str) -> None:
    """Log the warnings and add them to the answer's trailing metadata."""
    for text in warnings:
        _log.warning(text, **about)
    if warnings:
        context.set_trailing_metadata([(KEY, text.encode("unicode_escape").decode("ascii")) for text in warnings])
