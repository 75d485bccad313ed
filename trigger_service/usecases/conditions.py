"""Conditions of trigger configs: CEL over `job`, compiled once and remembered."""

from __future__ import annotations

from trigger_service.domain.events import JobEvent
from trigger_service.domain.matching import ConditionError, Holds
from wakepoint.chassis.expressions import Bound, ExpressionError, Expressions, InvalidExpression

_REMEMBERED = 4_096


class Conditions:
    """Compiles and evaluates; safe to share, because nothing in it hangs on a request."""

    def __init__(self) -> None:
        self._expressions = Expressions(["job"], cache_size=_REMEMBERED)

    def problem_of(self, text: str) -> str | None:
        """Why a condition does not compile, or None when it does."""
        try:
            self._expressions.compile(text)
        except InvalidExpression as error:
            return error.message
        return None

    def about(self, event: JobEvent) -> Holds:
        """Evaluates conditions over one event's job. The job is made ready at the first of them only."""
        ready: list[Bound] = []

        def holds(text: str) -> bool:
            try:
                if not ready:
                    ready.append(self._expressions.bind({"job": event.as_job()}))
                return self._expressions.compile(text).evaluate_bool(ready[0])
            except (ExpressionError, InvalidExpression) as error:
                raise ConditionError(error.message) from None

        return holds
