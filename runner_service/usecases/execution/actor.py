"""The holder of one run: it alone decides and writes; nodes and the world only tell it things."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import Any, assert_never

from runner_service.domain.history import Line, node_cancelled, run_completed, run_failed, run_queued, run_suspended
from runner_service.domain.projection import NodeState, RunState
from runner_service.domain.runs import RUN_STATE
from runner_service.domain.scheduling import run_outputs
from runner_service.storage.steps import OutboxEntry
from runner_service.usecases.claim_runs import LoadedRun
from runner_service.usecases.execution import passages
from runner_service.usecases.execution.committing import Committer, LeaseLost
from runner_service.usecases.execution.environment import Environment
from runner_service.usecases.execution.expiries import settle_expiries
from runner_service.usecases.execution.held import HeldRun
from runner_service.usecases.execution.inbox import LocalInbox
from runner_service.usecases.execution.messages import (
    Drain,
    GaveUp,
    HandBack,
    InboxChanged,
    Message,
    Raised,
    Recorded,
    RetryDue,
    Returned,
    Waits,
)
from runner_service.usecases.execution.recovering import recover, try_again

# How often the loop is left to others before it is concluded that no node is about to finish: quick nodes then share
# one commit, and slow ones are known to be under way.
QUICK_TURNS = 4

# Lines after which a step is committed although more is about to happen: a backlog must not become one statement.
LONG_STEP = 500


class Ended(Enum):
    """Why an execution returned."""

    FINISHED = auto()
    SUSPENDED = auto()
    HANDED_BACK = auto()
    LOST = auto()


class Execution:
    """Drives one held run. `tell` may be called at any time; `run` returns when the run leaves this replica."""

    def __init__(self, environment: Environment, loaded: LoadedRun) -> None:
        plan = environment.plan_of(loaded.claimed.graph_hash, loaded.graph)
        inbox = LocalInbox(loaded.pending, loaded.claimed.last_inbox_seq, environment.clock.now)
        self._held = HeldRun(environment, loaded.claimed, plan, loaded.projection, inbox)
        self._hot_before = {wait.node_id for wait in loaded.waits if not wait.suspended}
        self._environment = environment
        self._committer = Committer(self._held)
        self._handing_back = False

    @property
    def run_id(self) -> str:
        return self._held.run_id

    @property
    def seen_inbox_seq(self) -> int:
        """The last trigger event this holder knows of."""
        return self._held.inbox.seen

    @property
    def resting(self) -> bool:
        """Whether nothing executes: the run only waits in memory."""
        return bool(self._held.frames) and not self._busy()

    def tell(self, message: Message) -> None:
        """Let the holder know something."""
        self._held.tell(message)

    async def run(self) -> Ended:
        """Go on with the run until it is finished, suspended, handed back or lost."""
        try:
            await recover(self._held, self._hot_before)
            while True:
                if await self._hear():
                    await self._end_long_step()
                    continue
                if (ended := await self._when_quiet()) is not None:
                    return ended
        except LeaseLost:
            return Ended.LOST
        finally:
            await self._close()

    async def _hear(self) -> bool:
        """Handle what is in the mailbox, and start what it led to. False: nothing is about to happen."""
        await settle_expiries(self._held)
        await self._launch()
        for _ in range(QUICK_TURNS):
            if not self._held.mailbox.empty():
                break
            await asyncio.sleep(0)
        heard = False
        while not self._held.mailbox.empty():
            await self._handle(self._held.mailbox.get_nowait())
            heard = True
        return heard or bool(self._held.to_launch)

    async def _launch(self) -> None:
        """Start drafted frames; those whose repetition would do harm only once their start is committed."""
        held = self._held
        if held.failure is not None or self._handing_back:
            held.to_launch.clear()
        if not held.to_launch:
            return
        if not self._environment.holds_lease():
            raise LeaseLost
        if any(not frame.node_class.repeatable for frame in held.to_launch):
            while not await self._committer.commit(RunState.RUNNING, busy=True):
                passages.hand_out(held)
        for frame in held.to_launch:
            passages.launch(held, frame)
        held.to_launch.clear()

    async def _handle(self, message: Message) -> None:
        held = self._held
        match message:
            case Returned() | Raised() | GaveUp():
                await self._handle_outcome(message)
            case Recorded(line):
                held.draft.add(line)
            case Waits(node_id):
                frame = held.frames.get(node_id)
                if frame is not None and frame.waiting:
                    held.wait_in_memory(frame, frame.wake_time)
                    passages.hand_out(held)
            case RetryDue(node_id):
                frame = held.frames.get(node_id)
                if frame is not None and held.failure is None:
                    del held.frames[node_id]
                    await try_again(held, node_id, frame.activation, frame.attempt + 1)
            case InboxChanged():
                await self._committer.refresh_inbox()
                passages.hand_out(held)
            case Drain():
                held.draining = True
                for frame in held.frames.values():
                    frame.stop_waiting()
            case HandBack():
                self._handing_back = True
            case _:
                assert_never(message)

    async def _handle_outcome(self, outcome: Returned | Raised | GaveUp) -> None:
        held = self._held
        frame = held.frames.get(outcome.node_id)
        if frame is None:
            return  # the run failed meanwhile, and its other nodes with it
        match outcome:
            case Returned(_, value):
                await passages.complete(held, frame, value)
            case Raised(_, error):
                passages.fail(held, frame, error)
            case GaveUp(_, suspension):
                passages.suspend(held, frame, suspension)
                passages.hand_out(held)
            case _:
                assert_never(outcome)

    async def _end_long_step(self) -> None:
        """Who has a thousand events waiting is not quiet for long, and commits and forgets all the same."""
        held = self._held
        if len(held.draft.lines) < LONG_STEP or held.failure is not None:
            return
        if not await self._committer.commit(RunState.RUNNING, busy=self._busy()):
            passages.hand_out(held)
        await self._committer.compact_when_due()

    async def _when_quiet(self) -> Ended | None:
        """Nothing is about to happen: end the step, or the run, or wait for the next message."""
        held = self._held
        if held.failure is not None:
            return await self._fail()
        await self._committer.compact_when_due()
        under_way = any(frame.task is not None for frame in held.frames.values())
        if self._handing_back or (held.draining and not under_way and (held.unstarted or held.frames)):
            return await self._end(RunState.QUEUED, [run_queued("handed back by a stopping replica")])
        if not held.frames:
            if held.projection.suspended_nodes():
                return await self._end(RunState.SUSPENDED, [run_suspended(held.projection.suspended_nodes())])
            return await self._complete()
        if not held.draft.empty or self._busy() != self._committer.busy:
            if not await self._committer.commit(RunState.RUNNING, busy=self._busy()):
                passages.hand_out(held)
            return None
        await self._handle(await held.mailbox.get())
        return None

    async def _complete(self) -> Ended | None:
        held = self._held
        passages.dead_letter(held, held.inbox.remaining(), "the run has completed")
        outputs = run_outputs(held.plan, held.projection)
        return await self._end(RunState.COMPLETED, [run_completed(outputs)], outputs=outputs)

    async def _fail(self) -> Ended | None:
        held = self._held
        assert held.failure is not None
        await self._cancel_frames()
        for node_id, activation, record in list(held.projection.records()):
            if record.state in (NodeState.SCHEDULED, NodeState.RUNNING, NodeState.SUSPENDED):
                held.draft.add(node_cancelled(node_id, activation))
        passages.dead_letter(held, held.inbox.remaining(), "the run has failed")
        return await self._end(RunState.FAILED, [run_failed(held.failure)], error=held.failure)

    async def _end(
        self,
        state: RunState,
        lines: Sequence[Line],
        outputs: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Ended | None:
        """Commit the run's end here. None: there are events that were not seen; they may change what happens."""
        held = self._held
        if state is RunState.QUEUED:
            await self._cancel_frames()
        if state.finished and (firing_id := held.projection.source.get("firing_id")):
            payload = {"firing_id": firing_id, "run_id": held.run_id, "state": state.value}
            payload |= {"attempt": held.projection.attempt, "error": (error or {}).get("message", "")}
            held.draft.outbox = [entry for entry in held.draft.outbox if entry.kind != RUN_STATE]
            held.draft.outbox.append(OutboxEntry(RUN_STATE, payload))
        if not await self._committer.commit(state, busy=False, ending=lines, outputs=outputs, error=error):
            passages.hand_out(held)
            return None
        if state is RunState.QUEUED:
            self._environment.signals.runs_ready()
            return Ended.HANDED_BACK
        if state is RunState.SUSPENDED:
            return Ended.SUSPENDED
        self._environment.signals.run_ended()
        return Ended.FINISHED

    def _busy(self) -> bool:
        return any(frame.executing for frame in self._held.frames.values())

    async def _cancel_frames(self) -> None:
        frames = list(self._held.frames.values())
        tasks = [task for frame in frames for task in (frame.task, frame.retry) if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task
        for frame in frames:
            self._held.release(frame)
        self._held.frames.clear()

    async def _close(self) -> None:
        await self._cancel_frames()
