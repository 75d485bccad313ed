"""The trigger types on offer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

MANUAL = "MANUAL"
"""The trigger type of a firing that a person or a program asked for; never on offer as a blueprint."""


class Blueprint(BaseModel):
    """One trigger type: what job type starts a workflow, and whether that is on where nothing is said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trigger_type: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    description: Annotated[str, StringConstraints(max_length=2_000)] = ""
    default_is_enabled: bool = False


def _built_in(trigger_type: str, name: str, what: str) -> Blueprint:
    return Blueprint(
        trigger_type=trigger_type,
        name=name,
        description=f"Starts the workflow when {what} job in its experiment completes.",
    )


BUILT_IN: tuple[Blueprint, ...] = (
    _built_in("TRAIN", "On Training Completed", "a training"),
    _built_in("DOWNLOAD_MODEL", "On Model Downloaded", "a model download"),
    _built_in("LOAD_MODEL", "On Model Loaded", "a model loading"),
    _built_in("EXPORT_MODEL", "On Model Exported", "a model export"),
    _built_in("EVAL", "On Evaluation Completed", "an evaluation"),
    _built_in("GENERATE", "On Generation Completed", "a generation"),
)


class Blueprints:
    """The blueprints on offer, in the order in which configs are kept and shown."""

    __slots__ = ("_by_type",)

    def __init__(self, blueprints: Iterable[Blueprint]) -> None:
        """ValueError when a type occurs twice or is reserved."""
        self._by_type: dict[str, Blueprint] = {}
        for blueprint in blueprints:
            if blueprint.trigger_type in self._by_type:
                raise ValueError(f"trigger type {blueprint.trigger_type} is on offer twice")
            if blueprint.trigger_type == MANUAL:
                raise ValueError(f"trigger type {MANUAL} is reserved")
            self._by_type[blueprint.trigger_type] = blueprint

    def __iter__(self) -> Iterator[Blueprint]:
        return iter(self._by_type.values())

    def __len__(self) -> int:
        return len(self._by_type)

    def __contains__(self, trigger_type: object) -> bool:
        return trigger_type in self._by_type

    @property
    def types(self) -> tuple[str, ...]:
        """The trigger types in order."""
        return tuple(self._by_type)


def on_offer(extra: Iterable[Blueprint] = ()) -> Blueprints:
    """The six built-in blueprints, then the operator's own."""
    return Blueprints((*BUILT_IN, *extra))
