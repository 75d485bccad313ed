"""What may happen to one run, move by move, each in a transaction that the test holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from runner_service.domain.history import (
    Line,
    node_completed,
    node_started,
    node_suspended,
    run_completed,
    run_queued,
    run_suspended,
)
from runner_service.domain.projection import RunState
from runner_service.domain.runs import NewWait
from runner_service.domain.trigger_events import Address, TriggerEvent
from runner_service.storage import replicas, runs, steps, waits
from runner_service.storage.steps import Step
from runner_service.usecases.deliver_events import Wake, deliver
from runner_service.usecases.fire_timers import _fire
from tests.support.runner import Runner
from wakepoint.chassis.database import Connection
from wakepoint.chassis.ids import new_id

PAST = datetime(2001, 1, 1, tzinfo=UTC)


def wake(run_id: str, event_id: str) -> Wake:
    return Wake(Address(run_id, "m"), TriggerEvent(event_id, "test", "test", None, PAST))


@dataclass
class Moves:
    """A run whose node `m` is a trigger, held by a replica that others take for dead. `seen`: what its holder has read.

    Every move answers in a word what became of it.
    """

    run_id: str
    epoch: int
    step: int = 0
    seen: int = 0
    replica_id: str = field(default="")

    @classmethod
    async def of_running(cls, runner: Runner, graph: Mapping[str, Any]) -> Self:
        """A run that has just been claimed."""
        return await cls.of_claim(runner, await runner.start(graph))

    @classmethod
    async def of_claim(cls, runner: Runner, run_id: str) -> Self:
        """Claim the run, the only one that is ready."""
        replica_id = new_id()
        async with runner.database.connection() as connection:
            await replicas.register_replica(connection, replica_id, "test", 1, timedelta(hours=1), None)
            (claimed,) = await runs.claim_runs(connection, replica_id, 1, oldest=False, crashes=range(10))
            await replicas.give_up_lease(connection, replica_id)
        assert claimed.run_id == run_id
        return cls(run_id, claimed.epoch, replica_id=replica_id)

    @classmethod
    async def of_suspended(cls, runner: Runner, graph: Mapping[str, Any]) -> Self:
        """A run that waits for an event, or for a time that has come."""
        moves = await cls.of_running(runner, graph)
        assert await runner.database.run(moves.suspend) == "committed"
        return moves

    async def suspend(self, connection: Connection) -> str:
        lines = [node_started("m", "1", 1), node_suspended("m", "1", "r", {}, {}, PAST), run_suspended(["m"])]
        wait = NewWait("m", "1", "Manual", suspended=True, reason="r", wake_time=PAST)
        return await self._commit(
            connection, lines, state=RunState.SUSPENDED, guarded=True, waits=[wait], suspended_node_ids=["m"]
        )

    async def wait_in_memory(self, connection: Connection) -> str:
        lines = [node_started("m", "1", 1)]
        return await self._commit(connection, lines, guarded=True, waits=[NewWait("m", "1", "Manual", suspended=False)])

    async def work(self, connection: Connection) -> str:
        return await self._commit(connection, [node_completed("o", "0", {"output": 1})], busy=True)

    async def complete(self, connection: Connection) -> str:
        return await self._commit(connection, [run_completed({})], state=RunState.COMPLETED, guarded=True, outputs={})

    async def hand_back(self, connection: Connection) -> str:
        return await self._commit(connection, [run_queued("handed back")], state=RunState.QUEUED, guarded=True)

    async def wake(self, connection: Connection) -> str:
        return (await deliver(connection, [wake(self.run_id, "e1")])).results[0].disposition.value

    async def wake_otherwise(self, connection: Connection) -> str:
        return (await deliver(connection, [wake(self.run_id, "e2")])).results[0].disposition.value

    async def cancel(self, connection: Connection) -> str:
        await runs.lock_runs(connection, [self.run_id])
        return "cancelled" if await runs.cancel_run(connection, self.run_id, "enough") else "finished before"

    async def take_over(self, connection: Connection) -> str:
        locked = await runs.lock_runs(connection, [self.run_id], skip_locked=True)
        if not locked:
            return "skipped"
        taken = await replicas.take_over(connection, list(locked), max_crashes=3, error={"type": "E", "message": "m"})
        return "taken" if taken else "not orphaned"

    async def fire_timer(self, connection: Connection) -> str:
        if Address(self.run_id, "m") not in await waits.due_waits(connection, 10):
            return "nothing due"
        delivered = await _fire(connection, [Address(self.run_id, "m")])
        return delivered.results[0].disposition.value if delivered.results else "skipped"

    async def _commit(
        self,
        connection: Connection,
        lines: list[Line],
        *,
        state: RunState = RunState.RUNNING,
        guarded: bool = False,
        **more: Any,
    ) -> str:
        step = Step(
            self.run_id, self.epoch, self.step, state, guarded=guarded, seen_inbox_seq=self.seen, lines=lines, **more
        )
        return "committed" if await steps.commit_steps(connection, [step]) else "refused"
