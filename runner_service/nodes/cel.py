"""CEL over the variables of a run, compiled once in this process."""

from wakepoint.chassis.expressions import ExpressionError, Expressions, InvalidExpression
from wakepoint.nodes import RUN_VARIABLES, Context, NodeError

RUN_EXPRESSIONS = Expressions(RUN_VARIABLES)
"""A cache of compiled programs and nothing else, so it may be shared by whoever evaluates."""


def evaluate(text: str, context: Context) -> object:
    """The value of `text` over `input`, `inputs` and `run`. NodeError, final, when it has none."""
    try:
        return RUN_EXPRESSIONS.compile(text).evaluate(context.expression_values())
    except (ExpressionError, InvalidExpression) as error:
        raise NodeError(error.message, retryable=False) from None
