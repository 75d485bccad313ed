"""Keys under which runs exclude each other: text with `${CEL}` over `input`, compiled once and remembered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from trigger_service.domain.concurrency import read_concurrency
from trigger_service.domain.dispatch import Lease, Refused
from trigger_service.domain.limits import id_problem
from wakepoint.chassis.expressions import ExpressionError, Expressions, InvalidExpression, Template

_REMEMBERED = 1_024


class Overlap:
    """Compiles and renders; safe to share, because nothing in it hangs on a request."""

    def __init__(self) -> None:
        expressions = Expressions(["input"], cache_size=_REMEMBERED)
        self._compiled = lru_cache(maxsize=_REMEMBERED)(lambda key: Template.compile(key, expressions))

    def problem_of(self, key: str) -> str | None:
        """Why a key does not compile, or None when it does."""
        try:
            self._compiled(key)
        except InvalidExpression as error:
            return error.message
        return None

    def prepared(self, lease: Lease) -> Lease | Refused:
        """The firing with its key rendered; a key that has no text is a refusal of the workflow's own."""
        try:
            wanted = read_concurrency(lease.concurrency)
            if wanted is None:
                return lease
            key = self._text(wanted.key, lease.run_input)
        except (ValueError, ExpressionError, InvalidExpression) as error:
            return Refused(f"concurrency: {error}")
        return replace(lease, concurrency_key=key, on_conflict=wanted.on_conflict.value)

    def _text(self, key: str, run_input: Mapping[str, Any]) -> str:
        value = self._compiled(key).render({"input": dict(run_input)})
        if value is None or isinstance(value, list | dict):
            raise ValueError("the key is no text")
        text = value if isinstance(value, str) else json.dumps(value)
        problem = id_problem(text)
        if problem is not None:
            raise ValueError(f"the key {problem}")
        return text
