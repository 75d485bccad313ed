"""What handing a firing over means: what is sent, what may come back, and what is recorded then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeAlias, assert_never
from uuid import UUID

from trigger_service.domain.firings import FiringState


@dataclass(frozen=True, slots=True)
class Lease:
    """One firing that this dispatcher holds until its lease runs out. `graph_hash` in hex.

    `concurrency`: as the workflow stores it; `concurrency_key` and `on_conflict`: what it comes to for this firing.
    """

    firing_id: UUID
    workflow_id: UUID
    experiment_id: str
    event_id: str
    trigger_type: str
    graph_hash: str
    run_input: Mapping[str, Any]
    depth: int
    attempts: int
    refusals: int
    concurrency: object = None
    concurrency_key: str = ""
    on_conflict: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """The runner has it. `run_id` is empty where the workflow's concurrency skipped the run."""

    run_id: str
    is_skipped: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The runner will not have this very firing: counts towards DEAD."""

    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Something else went wrong with this firing alone: tried again, not counted."""

    message: str


@dataclass(frozen=True, slots=True)
class Away:
    """The runner did not answer. Whether it has the firing is told by the request_id next time."""


Outcome: TypeAlias = Started | Refused | Failed | Away


@dataclass(frozen=True, slots=True)
class Change:
    """What is recorded with a firing. `tried` and `refused` are added to its counters."""

    firing_id: UUID
    state: FiringState
    run_id: str = ""
    error: str = ""
    tried: int = 1
    refused: int = 0
    delay: timedelta = timedelta(0)


def change_of(lease: Lease, outcome: Outcome, *, give_up_after: int, delay_of: Callable[[int], timedelta]) -> Change:
    """What an outcome makes of a firing. `delay_of` says how long to wait after the nth attempt."""
    match outcome:
        case Started(run_id, is_skipped):
            error = "skipped: another run with its concurrency key is unfinished" if is_skipped else ""
            return Change(lease.firing_id, FiringState.DISPATCHED, run_id=run_id, error=error)
        case Refused(message):
            dead = lease.refusals + 1 >= give_up_after
            state = FiringState.DEAD if dead else FiringState.RETRYING
            delay = timedelta(0) if dead else delay_of(lease.attempts + 1)
            return Change(lease.firing_id, state, error=message, refused=1, delay=delay)
        case Failed(message):
            return Change(lease.firing_id, FiringState.RETRYING, error=message, delay=delay_of(lease.attempts + 1))
        case Away():
            return Change(lease.firing_id, FiringState.QUEUED, tried=0)
        case _:
            assert_never(outcome)


@dataclass(frozen=True, slots=True)
class Tally:
    """How a workflow fared in a batch: whether something of it was taken, and how often it was refused since."""

    workflow_id: UUID
    was_taken: bool
    refusals: int
    last_error: str


def tallies(recorded: Iterable[tuple[Lease, Change]]) -> list[Tally]:
    """Per workflow, in the order of their ids. What says nothing of the workflow itself is passed over."""
    found: dict[UUID, Tally] = {}
    for lease, change in recorded:
        before = found.get(lease.workflow_id, Tally(lease.workflow_id, was_taken=False, refusals=0, last_error=""))
        if change.state is FiringState.DISPATCHED:
            found[lease.workflow_id] = Tally(lease.workflow_id, was_taken=True, refusals=0, last_error="")
        elif change.refused:
            found[lease.workflow_id] = replace(before, refusals=before.refusals + 1, last_error=change.error)
    return [found[workflow_id] for workflow_id in sorted(found)]


def input_of_event(event_id: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """The input of a run that a job event started."""
    return {"event_id": event_id, "job": dict(job)}
