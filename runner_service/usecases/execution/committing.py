"""Commit what was drafted about a held run, step by step."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from runner_service.domain.history import Line
from runner_service.domain.projection import RunState
from runner_service.storage import inbox as inbox_storage
from runner_service.usecases.commit_step import Committed, commit_step, last_inbox_seq
from runner_service.usecases.execution import passages
from runner_service.usecases.execution.forgetting import Forgetting
from runner_service.usecases.execution.held import HeldRun


class LeaseLost(Exception):
    """The run is no longer this replica's; whatever was not committed is void."""


class Committer:
    """Knows what of the run is committed. `busy`: whether the database has it that a node executes."""

    def __init__(self, held: HeldRun) -> None:
        self._held = held
        self._forgetting = Forgetting(held)
        self._step = 0
        self._committed_closed = len(held.closed)
        self.busy = True  # since the claim: who dies before the first commit may have died of this run

    async def compact_when_due(self) -> None:
        """Replace the log of an endless run by a snapshot, from time to time."""
        await self._forgetting.compact_when_due()

    async def commit(
        self,
        state: RunState,
        *,
        busy: bool,
        ending: Sequence[Line] = (),
        outputs: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> bool:
        """Commit the draft. False: nothing was written, and the inbox has been read again. Raises LeaseLost."""
        held = self._held
        # What changes for those who send events must not miss one: that a node waits, that it is closed, that the run
        # rests.
        closing = len(held.closed) > self._committed_closed
        step = held.draft.as_step(
            held.claimed,
            self._step,
            state=state,
            guarded=bool(held.draft.waits) or closing or bool(ending),
            seen=held.inbox.seen,
            busy=busy,
            closed_nodes=held.closed,
            ending=ending,
            outputs=outputs,
            error=error,
        )
        committed = await commit_step(
            self._held.environment.database, self._held.environment.clock, step, self._held.environment.holds_lease
        )
        match committed:
            case Committed.YES:
                self._step += 1
                self.busy = busy
                self._committed_closed = len(held.closed)
                self._announce()
                held.draft.clear()
                self._forgetting.forget_what_is_over()
                return True
            case Committed.INBOX_MOVED:
                await self.refresh_inbox()
                return False
            case Committed.LOST:
                raise LeaseLost
            case other:
                assert_never(other)

    def _announce(self) -> None:
        draft, signals = self._held.draft, self._held.environment.signals
        signals.log_grew(self._held.run_id)
        if draft.jobs:
            signals.jobs_changed()
        if draft.outbox:
            signals.outbox_grew()
        if draft.listening:
            signals.fan_out_grew()
        if any(wait.wake_time is not None for wait in draft.waits.values()):
            signals.timers_changed()

    async def refresh_inbox(self) -> None:
        """Read what came into the inbox since it was read last."""
        held = self._held
        database = self._held.environment.database
        # The number first: whatever is read after it has at least that much in it.
        last = await last_inbox_seq(database, held.run_id)
        async with database.connection() as connection:
            newer = await inbox_storage.read_pending(connection, [held.run_id], after=held.inbox.seen)
        held.inbox.extend(newer.get(held.run_id, []), last)
        for node_id in held.closed:
            passages.close(held, node_id)
