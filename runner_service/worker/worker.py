"""Claim ready runs, execute them, and give them up in good order."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from runner_service.usecases.claim_runs import LoadedRun, claim_runs
from runner_service.usecases.execution.actor import Ended, Execution
from runner_service.usecases.execution.environment import Environment
from runner_service.usecases.execution.messages import Drain, HandBack, InboxChanged
from runner_service.usecases.look_for_changes import cancelled_lately, changed_inboxes, owned_runs
from runner_service.usecases.take_over_runs import give_up_run, take_over_runs
from runner_service.worker.hub import Hub
from runner_service.worker.lease import Lease
from runner_service.worker.vitals import Vitals
from wakepoint.chassis.errors import WakepointError

_log = structlog.stdlib.get_logger(__name__)

# Every fourth claim looks at age alone, so that a stream of high priorities starves nobody.
OLDEST_EVERY = 4

# How much further back than the last look: clocks of transactions that were under way then.
OVERLAP = timedelta(seconds=30)

MOST_CRASHES = 2**31
MAX_FAULT_CHARACTERS = 4000

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
    """`suspect`: one more crash and the run fails, so nothing else is begun here while it executes."""

    execution: Execution
    task: asyncio.Task[None]
    suspect: bool


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
        self._claiming = asyncio.Lock()
        self._giving_up: set[asyncio.Task[None]] = set()
        self.vitals = Vitals()
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
            room = self._room()
            claimed = 0
            if room > 0 and self._lease.valid():
                async with self._claiming:
                    claimed = await self._claim(room)
            # An empty claim while runs are due is no proof that there is nothing: others held their locks. Hence the
            # poll.
            if claimed < max(room, 1):
                await self._hub.ready.wait(self._limits.poll_seconds)

    async def watch(self) -> None:
        """Poll for what notifications would have told, and take over what dead replicas left."""
        database, clock = self._environment.database, self._environment.clock
        polls, suspects, looked = 0, frozenset[str](), clock.monotonic()
        while True:
            await clock.sleep(self._limits.poll_seconds)
            began = clock.monotonic()
            # As far back as the last look that succeeded, however long ago that was.
            await self._look_for_changes(OVERLAP + timedelta(seconds=began - looked))
            looked = began
            await take_over_runs(database, self._environment.signals, self._limits.max_crashes)
            polls += 1
            if polls % STRAYS_EVERY == 0:
                suspects = await self._give_up_strays(suspects)

    async def drain(self) -> None:
        """Waiting nodes suspend, executing ones may finish for a while; the rest is handed back."""
        self._stopping = True
        self._hub.ready.poke()
        async with self._claiming:
            pass  # what is being claimed right now must be told as well
        for held in self._held.values():
            held.execution.tell(Drain())
        if not await self._all_ended(self._limits.drain_seconds):
            for held in self._held.values():
                held.execution.tell(HandBack())
            await self._all_ended(self._limits.drain_seconds)
        await self._cancel_all()
        await self._lease.stop()

    async def _look_for_changes(self, within: timedelta) -> None:
        database = self._environment.database
        for run_id in await cancelled_lately(database, within) & self._held.keys():
            self._drop(run_id)
        for run_id, last in (await changed_inboxes(database, self._lease.replica_id, within)).items():
            held = self._held.get(run_id)
            if held is not None and last > held.execution.seen_inbox_seq:
                held.execution.tell(InboxChanged())

    def _room(self) -> int:
        executing = [held for held in self._held.values() if not held.execution.resting]
        if self._stopping or any(held.suspect for held in executing):
            return 0
        return min(self._limits.executing - len(executing), self._limits.claim_batch)

    async def _claim(self, room: int) -> int:
        self._claims += 1
        last_chance = max(1, self._limits.max_crashes - 1)
        claims = await claim_runs(
            self._environment.database,
            self._lease.replica_id,
            room,
            oldest=self._claims % OLDEST_EVERY == 0,
            crashes=range(last_chance),
        )
        if not claims.loaded and not claims.unreadable and self._idle():
            # Runs that were executed while their replicas died, again and again: alone, the guilty one is found out.
            claims = await claim_runs(
                self._environment.database,
                self._lease.replica_id,
                1,
                oldest=True,
                crashes=range(last_chance, MOST_CRASHES),
            )
        for run in claims.loaded:
            if run.claimed.waited is not None:
                self.vitals.resumed(run.claimed.waited)
            self._execute(run, suspect=run.claimed.crashes >= last_chance)
        for run_id, fault in claims.unreadable.items():
            _log.error("a run cannot be loaded", run_id=run_id, error=fault)
            self._give_up_later(run_id, fault)
        return len(claims.loaded) + len(claims.unreadable)

    def _idle(self) -> bool:
        return all(held.execution.resting for held in self._held.values())

    def _execute(self, loaded: LoadedRun, *, suspect: bool) -> None:
        try:
            execution = Execution(self._environment, loaded)
        except Exception as error:  # noqa: BLE001 -- one run that cannot be planned must not stop the claims
            _log.exception("a run cannot be executed", run_id=loaded.claimed.run_id)
            self._give_up_later(loaded.claimed.run_id, f"{type(error).__name__}: {error}")
            return
        task = asyncio.create_task(self._run(execution), name=f"run {execution.run_id}")
        self._held[execution.run_id] = _Held(execution, task, suspect)

    async def _run(self, execution: Execution) -> None:
        try:
            ended = await execution.run()
            if ended is Ended.LOST:
                _log.warning("run is held by nobody or somebody else now", run_id=execution.run_id)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the run must not stay without a holder
            _log.exception("executing a run failed", run_id=execution.run_id)
            await self._give_up(execution.run_id, f"{type(error).__name__}: {error}")
        finally:
            held = self._held.get(execution.run_id)
            if held is not None and held.execution is execution:
                del self._held[execution.run_id]
            self._hub.ready.poke()

    def _give_up_later(self, run_id: str, fault: str) -> None:
        task = asyncio.create_task(self._give_up(run_id, fault))
        self._giving_up.add(task)
        task.add_done_callback(self._giving_up.discard)

    async def _give_up(self, run_id: str, fault: str = "") -> None:
        environment, replica_id = self._environment, self._lease.replica_id
        if fault:
            await environment.clock.sleep(self._limits.poll_seconds)  # a bug must not become a hot loop of claims
        try:
            await give_up_run(
                environment.database,
                environment.signals,
                run_id,
                replica_id,
                max_crashes=self._limits.max_crashes,
                fault=fault.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_FAULT_CHARACTERS],
            )
        except WakepointError as error:
            # It is found again as a run that this replica owns and does not execute.
            _log.warning("a run could not be given up", run_id=run_id, error=error.message)

    async def _give_up_strays(self, suspects: frozenset[str]) -> frozenset[str]:
        """Runs that are this replica's and that it does not execute, because the database went away at the wrong
        moment: seen twice, they are given up. That counts nothing.
        """
        owned = await owned_runs(self._environment.database, self._lease.replica_id)
        strays = frozenset(owned - self._held.keys())
        for run_id in strays & suspects:
            _log.error("a claimed run is not being executed; giving it up", run_id=run_id)
            await self._give_up(run_id)
        return strays - suspects

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
        await self._lease.start(self._lost.set, before_beats=self._lost.clear)

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
