"""UpdateSuspended: what a person may change about a wait without waking its node, and its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner_service.domain.history import suspension_updated
from runner_service.domain.projection import RunState
from runner_service.domain.runs import SuspendedNode
from runner_service.domain.trigger_events import MAX_PRIORITY
from runner_service.storage import journal, runs, wait_care
from runner_service.storage.encoding import time_text
from runner_service.storage.wait_care import DueExpiry, LockedWait
from runner_service.usecases.deliver_events import Delivered, deliver_to_locked
from runner_service.usecases.execution.outcomes import storable
from runner_service.usecases.expire_waits import expiry
from runner_service.usecases.get_run import find_run
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from wakepoint.nodes import NodeError

MAX_STATE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class WaitChange:
    """`named`: which of `state`, `priority` and `expire_time` change; an expire_time of None: never."""

    run_id: str
    node_id: str
    experiment_id: str | None = None
    named: frozenset[str] = frozenset()
    state: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    expire_time: datetime | None = None
    expire_now: bool = False


async def update_suspended(database: Database, signals: Signals, change: WaitChange) -> SuspendedNode:
    """The wait as it stands after the change.

    NotFound: the run, or the node does not wait. FailedPrecondition: a new state for a node whose run is executing, or
    the end of a wait for an external job. InvalidArgument: a state or priority that cannot be kept.
    """
    state = _checked(change)

    async def update(connection: Connection) -> tuple[SuspendedNode, Delivered | None]:
        run = await find_run(connection, change.run_id, change.experiment_id)
        locked = await runs.lock_runs(connection, [run.run_id])
        wait = await wait_care.lock_wait(connection, run.run_id, change.node_id)
        if wait is None:
            raise NotFound(f"node {change.node_id} does not wait", reason="NOT_WAITING", node_id=change.node_id)
        _check_possible(change, wait, locked[run.run_id].state)
        if change.named:
            await _write(connection, run.run_id, wait, change, state)
        ended = None
        if change.expire_now:
            now = await runs.as_of(connection)
            due = DueExpiry(run.run_id, change.node_id, wait.activation, now, None, "none", expired=True)
            ended = await deliver_to_locked(connection, [expiry(due, "its wait was ended by hand")], locked)
        shown = await wait_care.get_suspended(connection, run.run_id, change.node_id)
        assert shown is not None, "the run is locked: its wait is still there"
        return shown, ended

    shown, ended = await database.run(update)
    if ended is not None:
        ended.announce(signals)
    signals.log_grew(shown.run_id)
    return shown


def _checked(change: WaitChange) -> dict[str, Any]:
    if abs(change.priority) > MAX_PRIORITY:
        raise InvalidArgument.of("priority", f"must be between {-MAX_PRIORITY} and {MAX_PRIORITY}")
    try:
        return storable(change.state, "state", MAX_STATE_BYTES)
    except NodeError as error:
        raise InvalidArgument.of("state", str(error)) from None


def _check_possible(change: WaitChange, wait: LockedWait, state: RunState) -> None:
    if "state" in change.named and (not wait.suspended or state is RunState.RUNNING):
        raise FailedPrecondition(
            "the run is executing, and its holder has read the node's state already: try again once it is suspended",
            reason="RUN_IS_EXECUTING",
            run_id=change.run_id,
        )
    if change.expire_now and wait.has_job:
        raise FailedPrecondition(
            "the node waits for its job, which would go on: cancel the run instead",
            reason="NODE_HAS_A_JOB",
            node_id=change.node_id,
        )


async def _write(
    connection: Connection, run_id: str, wait: LockedWait, change: WaitChange, state: dict[str, Any]
) -> None:
    await wait_care.update_wait(
        connection,
        run_id,
        change.node_id,
        sorted(change.named),
        state=state,
        priority=change.priority,
        expire_time=change.expire_time,
    )
    given = {"state": state, "priority": change.priority, "expire_time": time_text(change.expire_time)}
    told = {name: value for name, value in given.items() if name in change.named}
    await journal.append_lines(connection, {run_id: [suspension_updated(change.node_id, wait.activation, told)]})
