from typing import Any, ClassVar

from wakepoint.nodes import Context, Node


class Output(Node):
    """Puts what arrives at its input into the run's `outputs`, and passes it on."""

    repeatable: ClassVar[bool] = True
    input_names: ClassVar[tuple[str, ...] | None] = ("input",)

    name: str = ""
    """The name among the run's outputs; the node's id unless given."""

    @property
    def output_name(self) -> str:
        """Under which name the run shows the value."""
        return self.name or self.id

    async def process(self, context: Context) -> Any:
        """The value that arrived."""
        return context.inputs.get("input")
