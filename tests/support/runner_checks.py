"""What must hold for every run of a database, whatever happened to it."""

from collections import Counter
from typing import Any

from runner_service.domain.history import EventType
from runner_service.domain.projection import NodeState, fold
from runner_service.domain.runs import Run
from runner_service.domain.verification import FindingKind
from runner_service.storage import log, runs
from runner_service.usecases.verify_runs import Verification, verify_runs
from wakepoint.chassis.database import Database

PATIENT = (FindingKind.OUTBOX_STUCK, FindingKind.JOB_OUTLIVES_RUN)
ACCEPTED = (EventType.TRIGGER_EVENT_RECEIVED, EventType.TIMER_FIRED, EventType.TRIGGER_EVENT_REDELIVERED)


async def check_runs(database: Database) -> None:
    """Log, rows, waits and inbox of every run say the same. AssertionError."""
    async with database.connection() as connection:
        run_ids = [str(row["run_id"]) for row in await connection.fetch("select run_id from runner.runs")]
        logs = await log.read_logs(connection, run_ids)
        rows = await runs.get_runs(connection, run_ids)
        for run_id in run_ids:
            waits = await connection.fetch("select * from runner.waits where run_id = $1", run_id)
            inbox = await connection.fetch("select * from runner.inbox where run_id = $1 order by inbox_seq", run_id)
            _check_run(rows[run_id], logs[run_id], waits, inbox)
    findings = [finding async for batch in verify_runs(database, Verification()) for finding in batch.findings]
    # Tests move clocks, and stop replicas before everything is told: what depends on patience proves nothing here.
    assert [finding for finding in findings if finding.kind not in PATIENT] == []


def _check_run(run: Run, events: list[Any], waits: list[Any], inbox: list[Any]) -> None:
    told = f"run {run.run_id} ({run.state})"
    assert [event.seq for event in events] == list(range(run.first_seq, run.last_seq + 1)), f"{told}: seq has gaps"
    epochs = [event.epoch for event in events]
    assert epochs == sorted(epochs), f"{told}: a holder whose epoch was over has written"
    projection = fold(events)
    assert projection.state is run.state, f"{told}: the log says {projection.state}"
    assert (projection.outputs, projection.error) == (run.outputs, run.error), f"{told}: outcome differs from the log"
    completed = Counter((e.node_id, e.activation) for e in events if e.event_type is EventType.NODE_COMPLETED)
    assert all(count == 1 for count in completed.values()), f"{told}: a node completed twice: {completed}"
    numbers = [row["inbox_seq"] for row in inbox]
    if run.first_seq == 1:
        assert numbers == list(range(1, len(numbers) + 1)), f"{told}: inbox_seq has gaps"
        assert sum(e.event_type in ACCEPTED for e in events) == len(inbox), f"{told}: log and inbox differ"
    if run.state.finished:
        assert not waits, f"{told}: finished, and something waits"
        assert not run.suspended_node_ids, f"{told}: finished, and nodes are suspended"
        assert not [row["event_id"] for row in inbox if row["state"] == "PENDING"], f"{told}: finished, events pending"
        states = {record.state for _, _, record in projection.records()}
        assert not states & {NodeState.SCHEDULED, NodeState.RUNNING, NodeState.SUSPENDED}, f"{told}: nodes go on"
    else:
        suspended = {row["node_id"] for row in waits if row["suspend_time"] is not None}
        assert suspended == set(projection.suspended_nodes()), f"{told}: waits and suspended nodes differ"
