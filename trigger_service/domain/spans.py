"""Spans of time in options: JSON text as in `90s` or `0.5s` where they are written and stored, a timedelta here."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

LONGEST = timedelta(days=3_652, hours=12)
"""Ten years: what the database's reader of stored spans takes, too."""

_TEXT = re.compile(r"(?P<sign>-?)(?P<seconds>[0-9]{1,12})(?:\.(?P<fraction>[0-9]{1,9}))?s")


def span_of(given: object) -> timedelta:
    """The span behind a text such as `90s` or `-0.5s`, exact to the microsecond. ValueError for what is none."""
    if isinstance(given, timedelta):
        return given
    match = _TEXT.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        raise ValueError("must be a duration such as 90s")
    micros = int((match["fraction"] or "").ljust(6, "0")[:6])
    span = timedelta(seconds=int(match["seconds"]), microseconds=micros)
    return -span if match["sign"] else span


def text_of(span: timedelta) -> str:
    """The span as text that `span_of` and the database read."""
    whole, micros = span // timedelta(seconds=1), span.microseconds
    return f"{whole}.{micros:06d}".rstrip("0") + "s" if micros else f"{whole}s"


Span = Annotated[timedelta, BeforeValidator(span_of), PlainSerializer(text_of, when_used="json")]
