from typing import Any, ClassVar

from runner_service.nodes.cel import evaluate
from wakepoint.nodes import Context, Node, NodeError, cel_field


class Branch(Node):
    """Takes one of two ways. What stands behind the other one is skipped.

    What arrives at the input `input` goes out at `true` or at `false`; where nothing arrives, the condition's value
    does.
    """

    repeatable: ClassVar[bool] = True
    output_names: ClassVar[tuple[str, ...]] = ("true", "false")
    exclusive_outputs: ClassVar[bool] = True

    condition: str = cel_field()
    """A CEL expression that is true or false, over `input`, `inputs` and `run`."""

    async def process(self, context: Context) -> dict[str, Any]:
        """One of `{"true": value}` and `{"false": value}`."""
        taken = evaluate(self.condition, context)
        if not isinstance(taken, bool):
            raise NodeError(f"the condition must be true or false, not {type(taken).__name__}", retryable=False)
        return {"true" if taken else "false": context.inputs.get("input", taken)}
