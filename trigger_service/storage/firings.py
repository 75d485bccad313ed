"""Firings: outbox and history."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from trigger_service.domain.dispatch import Change, Lease, input_of_event
from trigger_service.domain.firings import Firing, FiringState
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "firings.sql")
_JOB_FIELDS = ("job_id", "job_type", "job_name", "status", "attributes")


@dataclass(frozen=True, slots=True)
class ManualFiring:
    """A firing that somebody asked for. It is its own event."""

    firing_id: UUID
    workflow_id: UUID
    experiment_id: str
    trigger_type: str
    workflow_version: int
    graph_hash: bytes
    run_input: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How the run of a firing ended. `end_time` None: just now."""

    firing_id: UUID
    run_id: str
    run_state: str
    end_time: datetime | None
    attempt: int


@dataclass(frozen=True, slots=True)
class FiringQuery:
    """Which firings a list shows; empty fields do not restrict."""

    workflow_id: UUID | None
    experiment_id: str
    states: Sequence[FiringState]


async def insert_manual(connection: Connection, new: ManualFiring) -> Firing:
    """Queue a firing that no job event caused."""
    row = await connection.fetchrow(
        _SQL["insert_manual"],
        new.firing_id,
        new.firing_id,
        new.workflow_id,
        new.experiment_id,
        str(new.firing_id),
        new.trigger_type,
        new.workflow_version,
        new.graph_hash,
        new.run_input,
    )
    assert row is not None
    return Firing.model_validate(dict(row))


async def get(connection: Connection, firing_id: UUID) -> Firing | None:
    """One firing."""
    row = await connection.fetchrow(_SQL["get_firing"], firing_id)
    return Firing.model_validate(dict(row)) if row else None


async def lock(connection: Connection, firing_id: UUID, experiment_id: str) -> Firing | None:
    """Lock a firing, of this experiment if one is given, until the transaction ends."""
    row = await connection.fetchrow(_SQL["lock_firing"], firing_id, experiment_id)
    return Firing.model_validate(dict(row)) if row else None


async def queue_again(connection: Connection, firing_id: UUID) -> Firing:
    """Queue a locked firing that is DEAD or RETRYING; its refusals are counted anew."""
    row = await connection.fetchrow(_SQL["queue_again"], firing_id)
    assert row is not None
    return Firing.model_validate(dict(row))


async def cancel(connection: Connection, firing_id: UUID, reason: str) -> Firing:
    """Cancel a locked firing that no dispatcher holds and the runner does not have."""
    row = await connection.fetchrow(_SQL["cancel_firing"], firing_id, reason)
    assert row is not None
    return Firing.model_validate(dict(row))


async def of_events(connection: Connection, event_keys: Collection[UUID]) -> dict[UUID, list[Firing]]:
    """The firings of each event, oldest first."""
    found: dict[UUID, list[Firing]] = {key: [] for key in event_keys}
    for row in await connection.fetch(_SQL["firings_of_events"], list(event_keys)):
        found[row["asked_key"]].append(Firing.model_validate(dict(row)))
    return found


async def list_page(
    connection: Connection, query: FiringQuery, before: UUID | None, limit: int, as_of: datetime | None
) -> tuple[list[Firing], datetime | None]:
    """Firings by falling id, at most `limit`, and when the walk through them began (None where there are none)."""
    states = [state.value for state in query.states]
    rows = await connection.fetch(
        _SQL["list_firings"], query.workflow_id, query.experiment_id, states, before, limit, as_of
    )
    return [Firing.model_validate(dict(row)) for row in rows], rows[0]["as_of"] if rows else None


async def cancel_of_workflow(
    connection: Connection, workflow_id: UUID, reason: str, *, with_manual: bool = True
) -> None:
    """Cancel whatever of a workflow is not being dispatched yet; what was asked for by hand only `with_manual`."""
    await connection.execute(_SQL["cancel_of_workflow"], workflow_id, reason, with_manual)


async def lease_due(connection: Connection, lease_id: UUID, length: timedelta, limit: int) -> tuple[list[Lease], int]:
    """Take due firings, at most `limit`. Those to be dispatched, and how many rows were taken up in all."""
    rows = await connection.fetch(_SQL["lease_due"], lease_id, length, limit)
    return [_lease(row) for row in rows if row["state"] == FiringState.DISPATCHING], len(rows)


async def graphs(connection: Connection, hashes: Collection[str]) -> dict[str, dict[str, Any]]:
    """Graphs by their hash in hex."""
    rows = await connection.fetch(_SQL["graphs_by_hash"], [bytes.fromhex(text) for text in hashes])
    return {row["graph_hash"].hex(): row["graph"] for row in rows}


async def record_outcomes(connection: Connection, lease_id: UUID, changes: Sequence[Change]) -> frozenset[UUID]:
    """Record what became of leased firings; those whose lease was lost are left as they are. Those recorded."""
    rows = await connection.fetch(
        _SQL["record_outcomes"],
        lease_id,
        [change.firing_id for change in changes],
        [change.state.value for change in changes],
        [change.run_id for change in changes],
        [change.error for change in changes],
        [change.tried for change in changes],
        [change.refused for change in changes],
        [change.delay for change in changes],
    )
    return frozenset(row["firing_id"] for row in rows)


async def sweep_leases(connection: Connection, limit: int) -> int:
    """Queue firings again whose dispatcher did not come back; how many."""
    return len(await connection.fetch(_SQL["sweep_leases"], limit))


async def record_run_states(connection: Connection, results: Sequence[RunResult]) -> int:
    """Record how runs ended, one result per firing; how many firings are known."""
    rows = await connection.fetch(
        _SQL["record_run_states"],
        [result.firing_id for result in results],
        [result.run_id for result in results],
        [result.run_state for result in results],
        [result.end_time for result in results],
        [result.attempt for result in results],
    )
    return len(rows)


def _lease(row: Any) -> Lease:
    run_input = row["input"]
    if run_input is None:
        run_input = input_of_event(row["event_id"], {name: row[name] for name in _JOB_FIELDS})
    return Lease(
        row["firing_id"],
        row["workflow_id"],
        row["experiment_id"],
        row["event_id"],
        row["trigger_type"],
        row["graph_hash"].hex(),
        run_input,
        row["depth"],
        row["attempts"],
        row["refusals"],
        row["concurrency"],
    )
