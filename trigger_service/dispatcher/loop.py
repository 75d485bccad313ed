"""Hands firings to the runner: leases what is due, sends it in batches, records what came of it.

Any number of dispatchers may run. A firing is leased by one of them at a time; one that dies leaves leases that run
out; and whatever is sent twice is started once, because the firing's id is the request_id.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import structlog

from trigger_service.domain.dispatch import Away, Lease, Outcome, Refused, change_of
from trigger_service.usecases.lease_firings import lease_firings
from trigger_service.usecases.overlap import Overlap
from trigger_service.usecases.record_outcomes import record_outcomes
from trigger_service.usecases.sweep_leases import sweep_leases
from trigger_service.usecases.turn_off_triggers import turn_off_triggers
from wakepoint.chassis import failpoints
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import Unavailable
from wakepoint.chassis.ids import new_id
from wakepoint.chassis.tasks import Poke, backoff

_REMEMBERED_GRAPHS = 256

_log = structlog.stdlib.get_logger(__name__)


class RunStarter(Protocol):
    """The runner, as far as it starts runs."""

    async def start_runs(self, leases: Sequence[Lease], graphs: Mapping[str, dict[str, Any]]) -> list[Outcome]:
        """One outcome per lease, in order. A runner that is away is an outcome too."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How the dispatcher works. The lease must be longer than a call to the runner may take, with room to record."""

    batch: int = 500
    lease: timedelta = timedelta(seconds=15)
    poll_seconds: float = 1.0
    give_up_after: int = 5
    first_retry_seconds: float = 1.0
    longest_retry_seconds: float = 300.0
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 5.0


class Dispatcher:
    """One loop. `poke` wakes it; without a poke it looks for itself once per `poll_seconds`."""

    def __init__(
        self, database: Database, runner: RunStarter, poke: Poke, clock: Clock, rng: random.Random, pace: Pace
    ) -> None:
        self._database = database
        self._runner = runner
        self._poke = poke
        self._clock = clock
        self._rng = rng
        self._pace = pace
        self._overlap = Overlap()
        self._graphs: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._absences = 0
        self._limit = pace.batch
        self._swept_at = clock.monotonic()
        self._is_told_to_stop = False
        self._stop = Poke(clock)
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def runner_is_away(self) -> bool:
        """Whether the circuit is open: the last batch met nobody."""
        return self._absences > 0

    async def run(self) -> None:
        """Dispatch until `stop`, or until cancelled."""
        self._ended.clear()
        try:
            while not self._is_told_to_stop:
                try:
                    await self._turn()
                except Unavailable as error:
                    _log.warning("firings wait for the database", error=error.message)
                    await self._stop.wait(self._pace.poll_seconds)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Let the batch under way come to its end and dispatch no more: a lease that is given up delays its firings."""
        self._is_told_to_stop = True
        self._stop.poke()
        self._poke.poke()
        await self._ended.wait()

    async def dispatch_once(self) -> bool:
        """Lease, send and record one batch; whether there may be more to do at once."""
        lease_id, limit = UUID(new_id()), self._limit
        leased = await lease_firings(self._database, lease_id, self._pace.lease, limit, self._graphs.keys())
        self._remember(leased.graphs)
        if leased.leases:
            failpoints.hit("trigger.dispatch.leased")
            await self._dispatch(lease_id, leased.leases)
        return leased.taken_up >= limit

    async def sweep(self) -> int:
        """Queue firings again whose dispatcher did not come back; how many."""
        count = await sweep_leases(self._database)
        if count:
            _log.warning("leases ran out", firings=count)
        await self._turn_off()
        return count

    async def _turn(self) -> None:
        busy = await self.dispatch_once()
        if self._absences:
            # A poke says that there is more to send, not that the runner is back.
            await self._stop.wait(self._pause())
        elif not busy:
            await self._poke.wait(self._pace.poll_seconds)
        await self._sweep_when_due()

    async def _dispatch(self, lease_id: UUID, leases: Sequence[Lease]) -> None:
        outcomes = await self._send([self._overlap.prepared(lease) for lease in leases])
        failpoints.hit("trigger.dispatch.sent")
        changes = [
            change_of(lease, outcome, give_up_after=self._pace.give_up_after, delay_of=self._retry_delay)
            for lease, outcome in zip(leases, outcomes, strict=True)
        ]
        recorded = await record_outcomes(self._database, lease_id, leases, changes)
        failpoints.hit("trigger.dispatch.recorded")
        if recorded.refusals_in_a_row >= self._pace.give_up_after:
            await self._turn_off()

    async def _send(self, prepared: Sequence[Lease | Refused]) -> list[Outcome]:
        """What came of each; a firing that cannot even be prepared is its workflow's own refusal."""
        leases = [item for item in prepared if isinstance(item, Lease)]
        graphs = {lease.graph_hash: self._graphs[lease.graph_hash] for lease in leases}
        answers = await self._runner.start_runs(leases, graphs) if leases else []
        if answers:
            self._note_absence(answers)
        remaining = iter(answers)
        return [next(remaining) if isinstance(item, Lease) else item for item in prepared]

    async def _turn_off(self) -> None:
        for workflow_id in await turn_off_triggers(self._database, self._pace.give_up_after):
            _log.warning("a workflow's triggers were turned off", workflow_id=str(workflow_id))

    def _note_absence(self, outcomes: Sequence[Outcome]) -> None:
        if isinstance(outcomes[-1], Away):
            self._absences += 1
            # One firing is enough to find out whether the runner is back, and a runner that was too slow for a large
            # batch is not given another one at once.
            self._limit = 1
            if self._absences == 1:
                _log.warning("the runner is away; firings wait", firings=len(outcomes))
            return
        self._limit = min(self._limit * 4, self._pace.batch)
        if self._absences:
            _log.info("the runner is back")
            self._absences = 0

    def _retry_delay(self, attempts: int) -> timedelta:
        pace = self._pace
        seconds = backoff(attempts, self._rng, first=pace.first_retry_seconds, longest=pace.longest_retry_seconds)
        return timedelta(seconds=seconds)

    def _pause(self) -> float:
        pace = self._pace
        return backoff(self._absences, self._rng, first=pace.first_pause_seconds, longest=pace.longest_pause_seconds)

    async def _sweep_when_due(self) -> None:
        if self._clock.monotonic() - self._swept_at >= self._pace.poll_seconds:
            self._swept_at = self._clock.monotonic()
            await self.sweep()

    def _remember(self, graphs: Mapping[str, dict[str, Any]]) -> None:
        self._graphs |= graphs
        # What a batch needs stays: a batch is forgotten only by later ones.
        while len(self._graphs) > _REMEMBERED_GRAPHS + len(graphs):
            self._graphs.popitem(last=False)
