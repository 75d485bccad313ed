"""Commit a step of a run, exactly once, whatever becomes of the connection."""

from collections.abc import Callable
from enum import Enum, auto

from runner_service.domain.projection import RunState
from runner_service.storage import steps
from runner_service.storage.steps import Step
from runner_service.usecases.register_waits import commit_listening_step
from wakepoint.chassis import failpoints
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import TransactionConflict, Unavailable

RETRY_SECONDS = 0.2


class Committed(Enum):
    """What became of a step."""

    YES = auto()
    INBOX_MOVED = auto()
    """Nothing was written: there are events that the writer has not seen."""
    LOST = auto()
    """Nothing was written: the run has another holder, or none."""


async def commit_step(database: Database, clock: Clock, step: Step, holds_lease: Callable[[], bool]) -> Committed:
    """Try until it is known what became of the step, or until the lease is over."""
    failpoints.hit("runner.step.before_commit")
    while True:
        try:
            if await _commit(database, step):
                failpoints.hit("runner.step.after_commit")
                return Committed.YES
            return await _why_refused(database, step)
        except (Unavailable, TransactionConflict):
            # The connection may have broken after the commit: the fence tells, since a second try of a committed step
            # is refused by it.
            if not holds_lease():
                return Committed.LOST
            await clock.sleep(RETRY_SECONDS)


async def _commit(database: Database, step: Step) -> bool:
    if step.listening or step.not_listening:
        return await commit_listening_step(database, step)
    async with database.connection() as connection:
        return bool(await steps.commit_steps(connection, [step]))


async def _why_refused(database: Database, step: Step) -> Committed:
    async with database.connection() as connection:
        fence = (await steps.read_fences(connection, [step.run_id])).get(step.run_id)
    if fence is None or fence.epoch != step.epoch:
        return Committed.LOST
    if fence.step == step.step + 1:
        return Committed.YES
    if fence.state is not RunState.RUNNING:
        return Committed.LOST
    return Committed.INBOX_MOVED


async def last_inbox_seq(database: Database, run_id: str) -> int:
    """The number of the last event in the run's inbox."""
    async with database.connection() as connection:
        return (await steps.read_fences(connection, [run_id]))[run_id].last_inbox_seq
