"""Claim ready runs, execute them, and give them up in good order."""

import asyncio
from dataclasses import dataclass, replace

import structlog

from runner_service.usecases.claim_runs import LoadedRun, claim_runs
from runner_service.usecases.execution.actor import Ended, Execution
from runner_service.usecases.execution.environment import Environment
from runner_service.usecases.execution.messages import Drain, HandBack, InboxChanged
from runner_service.usecases.look_for_changes import cancelled_lately, changed_inboxes, owned_runs
from runner_service.usecases.take_over_runs import give_up_run, take_over_runs
from runner_service.worker.hub import Hub
from runner_service.worker.lease import Lease

_log = structlog.stdlib.get_logger(__name__)

# Every fourth claim looks at age alone, so that a stream of high priorities starves nobody.
OLDEST_EVERY = 4

# In polls; a run that could not be loaded is noticed after at most twice that.
STRAYS_EVERY = 5


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """`executing`: runs that execute nodes at one time (runs that only wait do not count); times in seconds."""

    executing: int = 200
    claim_batch: int = 50
    poll_seconds: float = 1.0
    drain_seconds: float = 15.0
    max_crashes: int = 3


@dataclass(slots=True)
class _Held:
    execution: Execution
    task: asyncio.Task[None]


class Worker:
    """All the runs that this replica holds."""

    def __init__(self, environment: Environment, hub: Hub, lease: Lease, limits: WorkerLimits) -> None:
        self._environment = replace(environment, holds_lease=lease.valid)
        self._hub = hub
        self._lease = lease
        self._limits = limits
        self._held: dict[str, _Held] = {}
        self._claims = 0
        self._stopping = False
        self._lost = asyncio.Event()
        hub.on_inbox_changed = self._tell_inbox_changed
        hub.on_cancelled = self._drop

    @property
    def held(self) -> int:
        """How many runs this replica holds."""
        return len(self._held)

    async def start(self) -> None:
        """Enter among the living replicas."""
        await self._lease.start(self._lost.set)

    async def claim(self) -> None:
        """Claim and execute, until told to stop."""
        while not self._stopping:
            if self._lost.is_set():
                await self._start_anew()
            room = min(self._limits.executing - self._executing(), self._limits.claim_batch)
            claimed = await self._claim(room) if room > 0 and self._lease.valid() else 0
            # An empty claim while runs are due is no proof that there is nothing: others held their locks. Hence the
            # poll.
            if claimed < max(room, 1):
                await self._hub.ready.wait(self._limits.poll_seconds)

    async def watch(self) -> None:
        """Poll for what notifications would have told, and take over what dead replicas left."""
        polls, suspects = 0, frozenset[str]()
        while True:
            await self._environment.clock.sleep(self._limits.poll_seconds)
            for run_id in await cancelled_lately(self._environment.database) & self._held.keys():
                self._drop(run_id)
            for run_id, last in (await changed_inboxes(self._environment.database, self._lease.replica_id)).items():
                held = self._held.get(run_id)
                if held is not None and last > held.execution.seen_inbox_seq:
                    held.execution.tell(InboxChanged())
            await take_over_runs(self._environment.database, self._environment.signals, self._limits.max_crashes)
            polls += 1
            if polls % STRAYS_EVERY == 0:
                suspects = await self._give_up_strays(suspects)

    async def drain(self) -> None:
        """Waiting nodes suspend, executing ones may finish for a while; the rest is handed back."""
        self._stopping = True
        self._hub.ready.poke()
        for held in self._held.values():
            held.execution.tell(Drain())
        if not await self._all_ended(self._limits.drain_seconds):
            for held in self._held.values():
                held.execution.tell(HandBack())
            await self._all_ended(self._limits.drain_seconds)
        await self._cancel_all()
        await self._lease.stop()

    async def _claim(self, room: int) -> int:
        self._claims += 1
        loaded = await claim_runs(
            self._environment.database, self._lease.replica_id, room, oldest=self._claims % OLDEST_EVERY == 0
        )
        for run in loaded:
            self._execute(run)
        return len(loaded)

    def _execute(self, loaded: LoadedRun) -> None:
        execution = Execution(self._environment, loaded)
        task = asyncio.create_task(self._run(execution), name=f"run {execution.run_id}")
        self._held[execution.run_id] = _Held(execution, task)

    async def _run(self, execution: Execution) -> None:
        try:
            ended = await execution.run()
            if ended is Ended.LOST:
                _log.warning("run is held by nobody or somebody else now", run_id=execution.run_id)
        except Exception:  # noqa: BLE001 -- whatever it was, the run must not stay without a holder
            _log.exception("executing a run failed", run_id=execution.run_id)
            await self._give_up(execution.run_id)
        finally:
            held = self._held.get(execution.run_id)
            if held is not None and held.execution is execution:
                del self._held[execution.run_id]
            self._hub.ready.poke()

    async def _give_up(self, run_id: str) -> None:
        environment = self._environment
        await environment.clock.sleep(self._limits.poll_seconds)  # a bug must not become a hot loop of claims
        await give_up_run(
            environment.database, environment.signals, run_id, self._lease.replica_id, self._limits.max_crashes
        )

    async def _give_up_strays(self, suspects: frozenset[str]) -> frozenset[str]:
        """Runs that were claimed but could not be loaded are nobody's: seen twice without an execution, they are
        given up.
        """
        owned = await owned_runs(self._environment.database, self._lease.replica_id)
        strays = frozenset(owned - self._held.keys())
        for run_id in strays & suspects:
            _log.error("a claimed run is not being executed; giving it up", run_id=run_id)
            await self._give_up(run_id)
        return strays - suspects

    def _executing(self) -> int:
        return sum(not held.execution.resting for held in self._held.values())

    def _tell_inbox_changed(self, run_id: str) -> bool:
        held = self._held.get(run_id)
        if held is not None:
            held.execution.tell(InboxChanged())
        return held is not None

    def _drop(self, run_id: str) -> bool:
        held = self._held.pop(run_id, None)
        if held is not None:
            held.task.cancel()
        return held is not None

    async def _start_anew(self) -> None:
        """Declared dead: everything held is somebody else's, and only a new identity may claim again."""
        await self._cancel_all()
        await self._lease.halt()
        self._lost.clear()
        await self._lease.start(self._lost.set)

    async def _all_ended(self, seconds: float) -> bool:
        tasks = [held.task for held in self._held.values()]
        if not tasks:
            return True
        _, pending = await asyncio.wait(tasks, timeout=seconds)
        return not pending

    async def _cancel_all(self) -> None:
        tasks = [held.task for held in self._held.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._held.clear()
