"""A runner replica inside the test's own process, on a real database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from runner_service.app import build_replica
from runner_service.domain.history import EventType, HistoryEvent
from runner_service.domain.projection import RunState
from runner_service.domain.runs import Run
from runner_service.domain.trigger_events import TriggerEvent
from runner_service.nodes.registry import NodeRegistry
from runner_service.settings import Settings
from runner_service.storage import log
from runner_service.usecases.deliver_events import WakeResult
from runner_service.usecases.get_run import RunInFull, get_run
from runner_service.usecases.start_runs import StartRequest, start_run
from runner_service.usecases.wake_up import WakeUpRequest, wake_up
from runner_service.worker.hub import Hub
from runner_service.worker.replica import Replica
from tests.support.conditions import eventually
from wakepoint.chassis.clock import Clock, SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.ids import new_id
from wakepoint.chassis.tasks import Background
from wakepoint.nodes import Node, Webhook


@dataclass
class RecordingTrigger:
    """Takes what the outbox tells trigger_service, and remembers it."""

    events: list[Mapping[str, Any]] = field(default_factory=list)
    states: list[Mapping[str, Any]] = field(default_factory=list)

    async def report_job_events(self, events: Sequence[Mapping[str, Any]]) -> list[WakepointError | None]:
        self.events.extend(events)
        return [None] * len(events)

    async def report_run_states(self, states: Sequence[Mapping[str, Any]]) -> list[WakepointError | None]:
        self.states.extend(states)
        return [None] * len(states)


@dataclass
class Runner:
    """A running replica and short ways to use it."""

    database: Database
    registry: NodeRegistry
    hub: Hub
    replica: Replica
    trigger: RecordingTrigger

    async def start(self, graph: Mapping[str, Any], run_input: Any = None, **options: Any) -> str:
        """Start a run of the graph; its id."""
        request = StartRequest("w1", "e1", graph, input=run_input or {}, **options)
        return (await start_run(self.database, self.hub, self.registry.facts, request)).run.run_id

    async def wake(self, run_id: str, node_id: str, payload: Any = None, event_id: str = "") -> WakeResult:
        """Deliver an event."""
        event = TriggerEvent(event_id or new_id(), "test", "test", payload, SystemClock().now())
        return await wake_up(self.database, self.hub, WakeUpRequest(node_id, event, run_id=run_id))

    async def get(self, run_id: str) -> RunInFull:
        return await get_run(self.database, run_id, None)

    async def until(self, run_id: str, *states: RunState, seconds: float = 10) -> Run:
        """Wait until the run is in one of the states."""

        async def reached() -> Run:
            run = (await self.get(run_id)).run
            assert run.state in states, (run.state, run.error)
            return run

        return await eventually(reached, seconds)

    async def log(self, run_id: str) -> list[HistoryEvent]:
        async with self.database.connection() as connection:
            return (await log.read_logs(connection, [run_id]))[run_id]

    async def count(self, run_id: str, event_type: EventType, node_id: str | None = None) -> int:
        """How many lines of a type the log has."""
        return sum(e.event_type is event_type and node_id in (None, e.node_id) for e in await self.log(run_id))

    async def rows(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """What the database itself says."""
        async with self.database.connection() as connection:
            found: list[asyncpg.Record] = await connection.fetch(statement, *values)
            return found

    async def waits(self, run_id: str) -> dict[str, bool]:
        """Whether each waiting node of the run is suspended (else it waits in memory)."""
        statement = "select node_id, suspend_time is not null as suspended from runner.waits where run_id = $1"
        return {row["node_id"]: row["suspended"] for row in await self.rows(statement, UUID(run_id))}

    async def until_hot(self, run_id: str, *node_ids: str) -> None:
        """Wait until these nodes, and no others, wait in memory, and that is committed."""

        async def hot() -> bool:
            return {n for n, suspended in (await self.waits(run_id)).items() if not suspended} == set(node_ids)

        await eventually(hot)

    async def events(self, run_id: str) -> dict[str, tuple[str, str | None]]:
        """The state of each trigger event of the run and the reason for it, by event_id, in the order of the inbox."""
        statement = "select event_id, state, reason from runner.inbox where run_id = $1 order by inbox_seq"
        return {row["event_id"]: (row["state"], row["reason"]) for row in await self.rows(statement, UUID(run_id))}

    async def attempts(self, run_id: str, node_id: str) -> list[int]:
        """The attempts with which the node began or resumed."""
        begun = (EventType.NODE_STARTED, EventType.NODE_RESUMED)
        return [e.payload["attempt"] for e in await self.log(run_id) if e.node_id == node_id and e.event_type in begun]

    @property
    def replica_id(self) -> str:
        return self.replica.worker._lease.replica_id

    async def crash(self) -> None:
        """End as kill -9 does: nothing is committed, handed back or given up any more, and the lease runs on."""
        await self.replica.background.stop()
        await self.replica.worker._cancel_all()
        await self.replica.worker._lease.halt()

    async def crash_and_expire(self) -> None:
        """`crash`, and the lease is over already."""
        await self.crash()
        await self.rows(
            "update runner.replicas set lease_expire_time = runner.stamp() - interval '1 second' where replica_id = $1",
            UUID(self.replica_id),
        )


@asynccontextmanager
async def runner_on(
    database: Database,
    dsn: str,
    folder: Path,
    *,
    nodes: Sequence[type[Node]] = (),
    clock: Clock | None = None,
    claiming: bool = True,
    **options: Any,
) -> AsyncIterator[Runner]:
    """A replica on the database; drained at the end, unless it crashed. `claiming=False`: only its use-cases, no loops.

    `options` are settings of the service.
    """
    given = {"database_url": dsn, "host": "test-host", "jobs_dir": folder, "drain_seconds": 4}
    settings = Settings.model_validate(given | options)
    registry = NodeRegistry([*(type_ for type_ in builtin_classes()), *nodes])
    hub = Hub(database, lambda _: None)
    trigger = RecordingTrigger()
    replica = build_replica(
        settings,
        database,
        clock or SystemClock(),
        registry,
        hub,
        trigger,
        lambda target: Webhook(target.webhook_id, f"http://localhost/hooks/{target.webhook_id}"),
        Background(),
    )
    runner = Runner(database, registry, hub, replica, trigger)
    if not claiming:
        yield runner
        return
    await replica.start()
    try:
        yield runner
    finally:
        if replica.background.running:
            await replica.drain()


def builtin_classes() -> list[type[Node]]:
    """The node types that every runner has."""
    registry = NodeRegistry.load()
    return [registry.get(description.type) for description in registry.describe()]


def node(node_id: str, node_type: str, **properties: Any) -> dict[str, Any]:
    """A node of a graph."""
    return {"id": node_id, "type": node_type, "properties": properties}


def edge(source: str, target: str, **names: str) -> dict[str, Any]:
    """An edge of a graph."""
    return {"source": source, "target": target, **names}


def chain(*nodes: dict[str, Any]) -> dict[str, Any]:
    """A graph whose nodes follow each other."""
    edges = [edge(a["id"], b["id"]) for a, b in pairwise(nodes)]
    return {"nodes": list(nodes), "edges": edges}
