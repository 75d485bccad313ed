"""Steps: what the holder of a run commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from runner_service.domain.history import Line
from runner_service.domain.listening import Listening
from runner_service.domain.projection import RunState
from runner_service.domain.runs import NewWait, Settled
from runner_service.storage.encoding import line_json, time_text
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "steps.sql")


@dataclass(frozen=True, slots=True)
class NewJob:
    """An external job to be started once this step is committed."""

    job_id: str
    node_id: str
    activation: str
    job_type: str
    job_name: str
    backend: str
    spec: Mapping[str, Any]
    host: str


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """What trigger_service is to be told; `kind` is JOB_EVENT or RUN_STATE."""

    kind: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """Everything that one commit changes about a run. `state` is the run's state afterwards.

    A guarded step commits only while `seen_inbox_seq` is the last event in the run's inbox. `listening` is what nodes
    register with it, `not_listening` who takes no more events; `commit_steps` alone does not see to these two.
    """

    run_id: str
    epoch: int
    step: int
    state: RunState
    guarded: bool
    seen_inbox_seq: int
    busy: bool = False
    lines: Sequence[Line] = ()
    waits: Sequence[NewWait] = ()
    unwaited: Sequence[str] = ()
    settled: Sequence[Settled] = ()
    closed_nodes: Sequence[str] = ()
    suspended_node_ids: Sequence[str] = ()
    jobs: Sequence[NewJob] = ()
    outbox: Sequence[OutboxEntry] = ()
    listening: Sequence[Listening] = ()
    not_listening: Sequence[str] = ()
    outputs: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Fence:
    """Where a run stands, for a holder that does not know whether it still holds it."""

    state: RunState
    epoch: int
    step: int
    last_inbox_seq: int


async def commit_steps(connection: Connection, steps: Sequence[Step]) -> set[str]:
    """Commit the steps whose fences hold; answers the ids of their runs. Several steps need their runs locked
    before.
    """
    rows = await connection.fetch(QUERIES["commit_steps"], [_step_json(step) for step in steps])
    return {str(row["run_id"]) for row in rows}


async def read_fences(connection: Connection, run_ids: Sequence[str]) -> dict[str, Fence]:
    """Where the runs stand."""
    rows = await connection.fetch(QUERIES["read_fences"], [UUID(run_id) for run_id in run_ids])
    return {
        str(row["run_id"]): Fence(RunState(row["state"]), row["epoch"], row["step"], row["last_inbox_seq"])
        for row in rows
    }


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "run_id": step.run_id,
        "epoch": step.epoch,
        "step": step.step,
        "guarded": step.guarded,
        "seen_inbox_seq": step.seen_inbox_seq,
        "state": step.state,
        "busy": step.busy,
        "outputs": step.outputs,
        "error": step.error,
        "closed_nodes": list(step.closed_nodes),
        "suspended_node_ids": list(step.suspended_node_ids),
        "lines": [line_json(line) for line in step.lines],
        "waits": [_wait_json(wait) for wait in step.waits],
        "unwaited": list(step.unwaited),
        "settled": [_settled_json(settled) for settled in step.settled],
        "jobs": [_job_json(job) for job in step.jobs],
        "outbox": [{"kind": entry.kind, "payload": dict(entry.payload)} for entry in step.outbox],
    }


def _wait_json(wait: NewWait) -> dict[str, Any]:
    return {
        "node_id": wait.node_id,
        "activation": wait.activation,
        "node_type": wait.node_type,
        "suspended": wait.suspended,
        "reason": wait.reason,
        "state": dict(wait.state),
        "metadata": dict(wait.metadata),
        "wake_time": time_text(wait.wake_time),
        "priority": wait.priority,
        "expires_after": wait.expires_after,
        "stale_after": wait.stale_after,
        "stale_policy": wait.stale_policy,
        "failures": wait.failures,
    }


def _settled_json(settled: Settled) -> dict[str, Any]:
    return {
        "inbox_seq": settled.inbox_seq,
        "state": settled.state,
        "activation": settled.activation,
        "reason": settled.reason,
    }


def _job_json(job: NewJob) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "node_id": job.node_id,
        "activation": job.activation,
        "job_type": job.job_type,
        "job_name": job.job_name,
        "backend": job.backend,
        "spec": dict(job.spec),
        "host": job.host,
    }
