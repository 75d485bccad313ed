from typing import Any, ClassVar

from runner_service.nodes.cel import evaluate
from wakepoint.nodes import Context, Node, cel_field


class Expression(Node):
    """Computes one CEL expression over the run's `input`, this node's `inputs`, and `run`."""

    repeatable: ClassVar[bool] = True

    expression: str = cel_field()
    """For example `inputs.score.accuracy > 0.9`."""

    async def process(self, context: Context) -> Any:
        """The expression's value. A key that is missing fails the node; `has(inputs.x)` asks first."""
        return evaluate(self.expression, context)
