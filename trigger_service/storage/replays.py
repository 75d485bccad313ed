"""Firings that a replay makes for past events."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from trigger_service.domain.firings import Firing
from trigger_service.storage import decisions as decision_store
from trigger_service.storage.decisions import Admission, NewDecision
from trigger_service.storage.events import NewFiring
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "replays.sql")

Pair = tuple[UUID, UUID]
"""An event and a workflow."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The highest replay number that a pair has seen, and whether any of them fired or was folded into a firing."""

    replay: int
    has_fired: bool


async def lock_experiment(connection: Connection, experiment_id: str) -> None:
    """Be the only replay of an experiment until the transaction ends."""
    await connection.execute(_SQL["lock_experiment"], experiment_id)


async def earlier_matches(connection: Connection, event_keys: Collection[UUID]) -> dict[Pair, Earlier]:
    """What these events brought about before, by workflow."""
    rows = await connection.fetch(_SQL["earlier_matches"], list(event_keys))
    return {(row["event_key"], row["workflow_id"]): Earlier(row["replay"], row["has_fired"]) for row in rows}


async def record(
    connection: Connection,
    earlier: Mapping[Pair, Earlier],
    firings: Sequence[NewFiring],
    admissions: Sequence[Admission],
    decisions: Sequence[NewDecision],
) -> list[UUID]:
    """Write what a batch of replayed events brings about, under the number after the highest that each pair has seen.

    The ids of the firings that were meant: limits may have refused some of the admissions.
    """

    def number(new: NewFiring | Admission | NewDecision) -> int:
        standing = earlier.get((new.event_key, new.workflow_id))
        return standing.replay + 1 if standing else 1

    await connection.execute(_SQL["insert_replayed"], [_firing_row(new, number(new)) for new in firings])
    rows = [replace(new, replay=number(new)).to_row() for new in decisions]
    await connection.execute(_SQL["insert_decisions"], rows)
    if admissions:
        await decision_store.admit(connection, [replace(new, replay=number(new)) for new in admissions])
    return [*(new.firing_id for new in firings), *(new.firing_id for new in admissions)]


def _firing_row(new: NewFiring, replay: int) -> dict[str, Any]:
    fields = {name: str(value) if isinstance(value, UUID) else value for name, value in asdict(new).items()}
    return {**fields, "replay": replay}


async def mark(connection: Connection, replay_id: UUID, firing_ids: Collection[UUID]) -> None:
    """Note which replay made these firings."""
    await connection.execute(_SQL["mark_replayed"], replay_id, list(firing_ids))


async def firings_of(connection: Connection, replay_id: UUID) -> list[Firing]:
    """What a replay made, as it stands now."""
    rows = await connection.fetch(_SQL["firings_of_replay"], replay_id)
    return [Firing.model_validate(dict(row)) for row in rows]
