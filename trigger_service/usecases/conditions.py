"""Conditions of trigger configs: CEL over `job`, compiled once and remembered."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from trigger_service.domain.events import JobEvent
from trigger_service.domain.matching import ConditionError, Holds
from wakepoint.chassis.expressions import (
    MAX_COST,
    MAX_TEXT,
    Bound,
    ExpressionError,
    Expressions,
    InvalidExpression,
    Program,
)

_REMEMBERED = 4_096
_COSTLY = 1_000_000
"""A condition that may take more than some 3 ms (see `Program.cost`). Others are evaluated however many they are."""
_BUDGET = 1_000_000_000
"""What the costly conditions over one event may cost together: two seconds at the very worst."""
_LARGEST_INTEGER = 2**53


class Conditions:
    """Compiles and evaluates; safe to share, because nothing in it hangs on a request."""

    def __init__(self) -> None:
        self._expressions = Expressions(["job"], cache_size=_REMEMBERED)
        self._faulty: OrderedDict[str, str] = OrderedDict()

    def problem_of(self, text: str) -> str | None:
        """Why a condition does not compile, or None when it does."""
        try:
            self._expressions.compile(text)
        except InvalidExpression as error:
            return error.message
        return None

    def about(self, event: JobEvent) -> Holds:
        """Evaluates conditions over one event's job. The job is made ready at the first of them only.

        Each is bounded by itself, and the costly ones together by a budget: past it a further costly one is an error.
        """
        ready: list[Bound] = []
        spent = 0

        def holds(text: str) -> bool:
            nonlocal spent
            try:
                program = self._compile(text)
                if not ready:
                    ready.append(self._expressions.bind({"job": _as_reported(event.as_job())}))
                cost = program.cost(ready[0])
                if _COSTLY < cost <= MAX_COST:
                    spent += cost
                    if spent > _BUDGET:
                        raise ConditionError("the costly conditions of all workflows are too many for this job")
                return program.evaluate_bool(ready[0])
            except ExpressionError as error:
                raise ConditionError(error.message) from None

        return holds

    def _compile(self, text: str) -> Program:
        """The program. A stored condition that does not compile is met with every event, so that is remembered, too."""
        fault = self._faulty.get(text)
        if fault is None:
            try:
                return self._expressions.compile(text)
            except InvalidExpression as error:
                fault = error.message
            if len(text) <= MAX_TEXT:
                self._faulty[text] = fault
                if len(self._faulty) > _REMEMBERED:
                    self._faulty.popitem(last=False)
        raise ConditionError(fault)


def _as_reported(value: Any) -> Any:
    """Numbers as they came: an integer that no double can hold exactly was a double before jsonb wrote it out."""
    match value:
        case bool():
            return value
        case int() if abs(value) > _LARGEST_INTEGER:
            return _as_double(value)
        case dict():
            return {key: _as_reported(item) for key, item in value.items()}
        case list():
            return [_as_reported(item) for item in value]
        case _:
            return value


def _as_double(value: int) -> float | int:
    try:
        return float(value)
    except OverflowError:
        return value
