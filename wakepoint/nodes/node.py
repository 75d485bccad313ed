"""`Node`: the base of every node type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from wakepoint.nodes.context import Context
from wakepoint.nodes.errors import NodeSuspended

Kind = Literal["trigger", "wait", "work"]
Template = Any
"""A property that may be any JSON value; strings in it may hold `${CEL}`."""

RUN_VARIABLES = ("input", "inputs", "run")


def cel_field(*, variables: tuple[str, ...] = RUN_VARIABLES, **options: Any) -> Any:
    """A string property that is a CEL expression over `variables`.

    It is compiled when the graph is validated and is never treated as a `${...}` template.
    """
    return Field(json_schema_extra={"cel_variables": list(variables)}, **options)


def fixed_field(**options: Any) -> Any:
    """A property that the runner reads outside of a run, so that `${...}` in it is refused."""
    return Field(json_schema_extra={"fixed": True}, **options)


class Node(BaseModel):
    """One step of a workflow: properties are fields, `process` is the work.

    A string under a field is that property's description. `repeatable` says that running the node twice is harmless and
    that it is quick: then its start is not committed before it runs, which saves a round trip. `output_names` are the
    outputs a graph may connect. A node with one output returns its value; one with several returns a dict with the
    outputs it produced, and what it leaves out is a branch not taken. `exclusive_outputs` says that one passage gives a
    value on only one of them, so that they may lead to the same input.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)

    kind: ClassVar[Kind] = "work"
    repeatable: ClassVar[bool] = False
    output_names: ClassVar[tuple[str, ...]] = ("output",)
    input_names: ClassVar[tuple[str, ...] | None] = None
    """The inputs a graph may connect; None: any name."""
    exclusive_outputs: ClassVar[bool] = False

    id: str = Field(default="", exclude=True)
    _context: Context | None = PrivateAttr(default=None)
    _resumed_state: dict[str, Any] | None = PrivateAttr(default=None)

    @classmethod
    def type_name(cls) -> str:
        """The name graphs use; the class name unless overridden."""
        return cls.__name__

    def bind(self, context: Context, resumed_state: Mapping[str, Any] | None) -> None:
        """Called by the runner before `process`; `resumed_state` is None unless the node wakes from a suspension."""
        self._context = context
        self._resumed_state = None if resumed_state is None else dict(resumed_state)

    async def process(self, context: Context) -> Any:
        """Do the work and return the output; it may run again if the process dies before the outcome is recorded."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it does: override process()")

    def is_resuming(self) -> bool:
        """Whether this passage begins with a wake-up rather than with a start."""
        return self._resumed_state is not None

    async def get_saved_state(self) -> dict[str, Any]:
        """What the node saved when it suspended, with `woke_up_at` and `trigger_event`; empty when it did not."""
        return dict(self._resumed_state or {})

    async def suspend_workflow(
        self,
        reason: str,
        state: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        wake_time: datetime | None = None,
    ) -> NoReturn:
        """Give the node's place up until a trigger event for it comes, or until `wake_time` (aware).

        Does not return: `process` is called anew then.
        """
        raise NodeSuspended(reason, state or {}, metadata or {}, wake_time)

    @property
    def context(self) -> Context:
        """The context of the passage under way; RuntimeError outside of one."""
        if self._context is None:
            raise RuntimeError(f"node {self.id!r} is not running")
        return self._context
