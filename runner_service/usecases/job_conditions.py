"""Conditions of JobCompleted nodes: CEL over `job`. Each is asked once about an event, however many waits have it."""

from collections.abc import Mapping
from typing import Any

from runner_service.domain.listening import ConditionError, Holds
from wakepoint.chassis.expressions import Bound, ExpressionError, Expressions, InvalidExpression

JOB_EXPRESSIONS = Expressions(["job"], cache_size=4_096)
"""A cache of compiled programs and nothing else, so it may be shared by whoever evaluates."""


def about(job: Mapping[str, Any]) -> Holds:
    """Evaluates conditions over one job, which is made ready at the first of them only."""
    ready: list[Bound] = []
    known: dict[str, bool | ConditionError] = {}

    def ask(text: str) -> bool | ConditionError:
        try:
            if not ready:
                ready.append(JOB_EXPRESSIONS.bind({"job": job}))
            return JOB_EXPRESSIONS.compile(text).evaluate_bool(ready[0])
        except (ExpressionError, InvalidExpression) as error:
            return ConditionError(error.message)

    def holds(text: str) -> bool:
        if text not in known:
            known[text] = ask(text)
        if isinstance(answer := known[text], ConditionError):
            raise answer
        return answer

    return holds


def condition_problem(text: str) -> str | None:
    """Why a condition does not compile, or None when it does."""
    try:
        JOB_EXPRESSIONS.compile(text)
    except InvalidExpression as error:
        return error.message
    return None
