"""What must hold for every run, whatever happened to it: the checks behind `verify`. Nothing here reads or writes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

from runner_service.domain.history import EventType, HistoryEvent
from runner_service.domain.projection import NodeState, RunProjection, RunState, fold
from runner_service.domain.runs import Run, TriggerEventState

SHOWN = 5
"""How many of many are named in a finding."""


class FindingKind(StrEnum):
    """What can be wrong."""

    LOG_GAP = "LOG_GAP"
    LOG_UNREADABLE = "LOG_UNREADABLE"
    EPOCHS_INTERLEAVED = "EPOCHS_INTERLEAVED"
    COMPLETED_TWICE = "COMPLETED_TWICE"
    PROJECTION_DIFFERS = "PROJECTION_DIFFERS"
    SUSPENSION_DIFFERS = "SUSPENSION_DIFFERS"
    EVENT_LOST = "EVENT_LOST"
    EVENT_PENDING_AFTER_END = "EVENT_PENDING_AFTER_END"
    EVENT_CONSUMED_TWICE = "EVENT_CONSUMED_TWICE"
    JOB_OUTLIVES_RUN = "JOB_OUTLIVES_RUN"
    OUTBOX_STUCK = "OUTBOX_STUCK"
    ROW_WITHOUT_RUN = "ROW_WITHOUT_RUN"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be. `run_id` is empty where it concerns no run."""

    kind: FindingKind
    run_id: str
    message: str


@dataclass(frozen=True, slots=True)
class WaitRow:
    """A wait as it is stored."""

    node_id: str
    activation: str
    suspended: bool
    reason: str
    state: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A trigger event as it is stored, without its content."""

    inbox_seq: int
    node_id: str
    event_id: str
    state: TriggerEventState
    activation: str | None


@dataclass(frozen=True, slots=True)
class RunEvidence:
    """All that one moment's snapshot has about a run. `events_removed`: settled events that retention took away;
    `open_jobs`: ids of jobs that have not ended; `ended_ago`: None for an unfinished run; `unrunnable`: it rests until
    a replica has the node types that it needs.
    """

    run: Run
    epoch: int
    last_inbox_seq: int
    events_removed: int
    lines: Sequence[HistoryEvent] = ()
    waits: Sequence[WaitRow] = ()
    inbox: Sequence[InboxRow] = ()
    open_jobs: Sequence[str] = ()
    ended_ago: timedelta | None = None
    unrunnable: bool = False
    patience: timedelta = field(default=timedelta(minutes=5))


def examine(evidence: RunEvidence) -> list[Finding]:
    """Everything that is wrong with one run; nothing for a sound one."""
    run_id = evidence.run.run_id
    found = [*_about_log(evidence), *_about_events(evidence), *_about_jobs(evidence)]
    try:
        projection = fold(evidence.lines)
    except (ValueError, KeyError, TypeError) as error:
        if not any(kind is FindingKind.LOG_GAP for kind, _ in found):
            found.append((FindingKind.LOG_UNREADABLE, f"the log cannot be folded: {type(error).__name__}: {error}"))
    else:
        found += [*_about_row(evidence, projection), *_about_waits(evidence, projection)]
    return [Finding(kind, run_id, message) for kind, message in found]


_Fault = tuple[FindingKind, str]


def _about_log(evidence: RunEvidence) -> Iterator[_Fault]:
    run, seqs = evidence.run, [line.seq for line in evidence.lines]
    first, last = (seqs[0], seqs[-1]) if seqs else (0, 0)
    if (first, last) != (run.first_seq, run.last_seq):
        yield (
            FindingKind.LOG_GAP,
            f"the log has lines {first} to {last}, the row says {run.first_seq} to {run.last_seq}",
        )
    for before, after in pairwise(seqs):
        if after != before + 1:
            yield FindingKind.LOG_GAP, f"after line {before} comes line {after}"
    if seqs and first > 1 and evidence.lines[0].event_type is not EventType.RUN_SNAPSHOT:
        yield FindingKind.LOG_GAP, f"line {first}, the first of the log, is no RunSnapshot"
    for earlier, later in pairwise(evidence.lines):
        if later.epoch < earlier.epoch:
            told = f"line {later.seq} was written in epoch {later.epoch}, after line {earlier.seq} in {earlier.epoch}"
            yield FindingKind.EPOCHS_INTERLEAVED, told
    if evidence.lines and max(line.epoch for line in evidence.lines) > evidence.epoch:
        yield FindingKind.EPOCHS_INTERLEAVED, f"the log has lines of a later epoch than the row's, {evidence.epoch}"
    completed = Counter(
        (line.node_id, line.activation) for line in evidence.lines if line.event_type is EventType.NODE_COMPLETED
    )
    for (node_id, activation), times in completed.items():
        if times > 1:
            yield FindingKind.COMPLETED_TWICE, f"node {node_id!r} completed {times} times in activation {activation}"


def _about_row(evidence: RunEvidence, projection: RunProjection) -> Iterator[_Fault]:
    run = evidence.run
    pairs: dict[str, tuple[Any, Any]] = {
        "state": (run.state.value, projection.state.value),
        "attempt": (run.attempt, projection.attempt),
        "input": (run.input, projection.input),
        "source": (dict(run.source), dict(projection.source)),
        "outputs": (run.outputs, projection.outputs),
        "error": (run.error, projection.error),
        "suspended_node_ids": (
            sorted(run.suspended_node_ids),
            [] if projection.state.finished else projection.suspended_nodes(),
        ),
    }
    for name, (stored, folded) in pairs.items():
        if stored != folded:
            yield FindingKind.PROJECTION_DIFFERS, f"{name} is {_shown(stored)}, but its log says {_shown(folded)}"


def _about_waits(evidence: RunEvidence, projection: RunProjection) -> Iterator[_Fault]:
    run, waits = evidence.run, evidence.waits
    if run.state.finished:
        for wait in waits:
            yield FindingKind.SUSPENSION_DIFFERS, f"node {wait.node_id!r} waits in a run that has finished"
        return
    suspended = [wait for wait in waits if wait.suspended]
    in_log = set(projection.suspended_nodes())
    for node_id in sorted(in_log - {wait.node_id for wait in suspended}):
        yield FindingKind.SUSPENSION_DIFFERS, f"node {node_id!r} is suspended by its log, but has no wait to wake it"
    resting = run.state is RunState.SUSPENDED and not evidence.unrunnable
    if resting and not suspended:
        yield FindingKind.SUSPENSION_DIFFERS, "the run is suspended, but none of its nodes is: nothing can wake it"
    if resting:
        for wait in waits:
            if not wait.suspended:
                told = f"node {wait.node_id!r} waits in memory, but nobody holds the run"
                yield FindingKind.SUSPENSION_DIFFERS, told
    for wait in waits:
        yield from _about_wait(wait, projection)


def _about_wait(wait: WaitRow, projection: RunProjection) -> Iterator[_Fault]:
    record = projection.record(wait.node_id, wait.activation)
    expected = NodeState.SUSPENDED if wait.suspended else NodeState.RUNNING
    if record is None or record.state is not expected:
        state = "not begun" if record is None else record.state.value
        told = f"node {wait.node_id!r} has a wait in activation {wait.activation}, where its log says it is {state}"
        yield FindingKind.SUSPENSION_DIFFERS, told
        return
    if not wait.suspended:
        return
    stored = {"state": wait.state, "metadata": wait.metadata, "reason": wait.reason}
    folded = {"state": record.saved_state, "metadata": record.metadata, "reason": record.reason}
    for name, value in stored.items():
        if value != folded[name]:
            told = (
                f"the {name} of waiting node {wait.node_id!r} is {_shown(value)}, its log says {_shown(folded[name])}"
            )
            yield FindingKind.PROJECTION_DIFFERS, told


def _about_events(evidence: RunEvidence) -> Iterator[_Fault]:
    inbox = {row.inbox_seq: row for row in evidence.inbox}
    missing = [seq for seq in range(1, evidence.last_inbox_seq + 1) if seq not in inbox]
    if len(missing) != evidence.events_removed:
        told = f"{len(missing)} accepted events are gone, {evidence.events_removed} of them by retention"
        yield FindingKind.EVENT_LOST, f"{told}; missing are {_some(missing)}"
    if beyond := [seq for seq in inbox if seq > evidence.last_inbox_seq]:
        yield (
            FindingKind.EVENT_LOST,
            f"events {_some(beyond)} are in no sequence: the row counts {evidence.last_inbox_seq}",
        )
    yield from _received_but_gone(evidence, inbox)
    yield from _consumed(evidence)
    if evidence.run.state.finished:
        pending = [row.inbox_seq for row in evidence.inbox if row.state is TriggerEventState.PENDING]
        if pending:
            told = f"the run is {evidence.run.state.value}, but events {_some(pending)} are pending"
            yield FindingKind.EVENT_PENDING_AFTER_END, told


def _received_but_gone(evidence: RunEvidence, inbox: Mapping[int, InboxRow]) -> Iterator[_Fault]:
    for line in evidence.lines:
        seq = line.payload.get("inbox_seq")
        if line.event_type is not EventType.TRIGGER_EVENT_RECEIVED or seq is None:
            continue
        row = inbox.get(seq)
        if row is not None and (row.node_id, row.event_id) != (line.node_id, line.payload.get("event_id")):
            yield FindingKind.EVENT_LOST, f"event {seq} is not the one that line {line.seq} tells of"
        if row is None and not evidence.events_removed:
            yield FindingKind.EVENT_LOST, f"event {seq}, accepted by line {line.seq}, is in no state"


def _consumed(evidence: RunEvidence) -> Iterator[_Fault]:
    """A node's outcome used up so many events: as many rows must say that it did. Events that a suspension used up are
    in its activation as well, so there may be more.
    """
    rows = Counter((row.node_id, row.activation) for row in evidence.inbox if row.state is TriggerEventState.CONSUMED)
    for line in evidence.lines:
        if line.event_type is not EventType.NODE_COMPLETED:
            continue
        used, kept = line.payload.get("consumed", 0), rows[line.node_id or "", line.activation]
        if used > kept:
            told = f"node {line.node_id!r} used up {used} events in activation {line.activation}, the inbox says {kept}"
            yield FindingKind.EVENT_CONSUMED_TWICE, f"{told}: the others were, or will be, consumed again"


def _about_jobs(evidence: RunEvidence) -> Iterator[_Fault]:
    if evidence.open_jobs and evidence.ended_ago is not None and evidence.ended_ago > evidence.patience:
        jobs = ", ".join(evidence.open_jobs[:SHOWN])
        told = f"the run ended {evidence.ended_ago.total_seconds():.0f} s ago, its jobs have not: {jobs}"
        yield FindingKind.JOB_OUTLIVES_RUN, told


def _some(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN]))
    return shown + (f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else "")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
