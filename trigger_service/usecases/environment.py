"""What every verb stands on, put together once by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from trigger_service.domain.blueprints import Blueprints
from trigger_service.usecases.conditions import Conditions
from trigger_service.usecases.overlap import Overlap
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import FailedPrecondition, FieldViolation, NotFound
from wakepoint.chassis.ids import is_id


@dataclass(frozen=True, slots=True)
class GraphReport:
    """What the runner says of a graph."""

    violations: Sequence[FieldViolation]
    warnings: Sequence[str]


class GraphChecker(Protocol):
    """The runner, as far as it knows which graphs can run."""

    async def check_graph(self, graph: dict[str, Any], experiment_id: str) -> GraphReport:
        """Every fault of the graph. Raises Unavailable when the runner is away."""
        ...


def _nothing() -> None:
    """Nobody is to be woken."""


@dataclass(frozen=True, slots=True)
class Environment:
    """`firings_due` is called after a commit that queued firings: it wakes the dispatchers of all replicas.

    `deliveries_due`: after one that accepted job events; it wakes what tells them to the runner.
    `is_shadow`: matches are recorded and never carried out.
    """

    database: Database
    blueprints: Blueprints
    conditions: Conditions
    graphs: GraphChecker
    firings_due: Callable[[], None]
    max_depth: int = 8
    deliveries_due: Callable[[], None] = _nothing
    is_shadow: bool = False
    overlap: Overlap = field(default_factory=Overlap)


def require_live(env: Environment) -> None:
    """FailedPrecondition where nothing may be carried out."""
    if env.is_shadow:
        raise FailedPrecondition("this service only watches: TRIGGER_MODE=shadow", reason="SHADOW_MODE")


def known_id(text: str, what: str) -> UUID:
    """The id behind a text. One that cannot be an id of ours names nothing: NotFound."""
    if not is_id(text):
        raise not_found(text, what)
    return UUID(text)


def not_found(text: object, what: str) -> NotFound:
    """The answer for what does not exist, and for what belongs to another experiment, alike."""
    return NotFound(f"{what} {str(text)[:100]} does not exist", reason=f"{what.upper()}_NOT_FOUND")
