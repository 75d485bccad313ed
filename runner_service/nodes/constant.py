from typing import Any, ClassVar

from wakepoint.nodes import Context, Node, Template


class Constant(Node):
    """Gives out its `value`, in which strings may hold `${CEL}`."""

    repeatable: ClassVar[bool] = True

    value: Template = None
    """Any JSON value."""

    async def process(self, context: Context) -> Any:
        """The value, with its expressions already evaluated."""
        return self.value
