"""A runner replica inside the test's own process, on a real database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
        event = TriggerEvent(event_id or new_id(), "test", "test", payload, datetime.now(UTC))
        return await wake_up(self.database, self.hub, WakeUpRequest(node_id, event, run_id=run_id))

    async def get(self, run_id: str) -> RunInFull:
        return await get_run(self.database, run_id, None)

    async def until(self, run_id: str, *states: RunState, seconds: float = 10) -> Run:
        """Wait until the run is in one of the states."""

        async def reached() -> Run | None:
            run = (await self.get(run_id)).run
            return run if run.state in states else None

        return await eventually(reached, seconds)

    async def log(self, run_id: str) -> list[HistoryEvent]:
        async with self.database.connection() as connection:
            return (await log.read_logs(connection, [run_id]))[run_id]

    async def count(self, run_id: str, event_type: EventType, node_id: str | None = None) -> int:
        """How many lines of a type the log has."""
        return sum(e.event_type is event_type and node_id in (None, e.node_id) for e in await self.log(run_id))


@asynccontextmanager
async def runner_on(
    database: Database,
    dsn: str,
    folder: Path,
    *,
    nodes: Sequence[type[Node]] = (),
    clock: Clock | None = None,
    claiming: bool = True,
) -> AsyncIterator[Runner]:
    """A replica on the database; drained at the end. `claiming=False`: only its use-cases, no loops."""
    settings = Settings.model_validate(
        {"database_url": dsn, "host": "test-host", "jobs_dir": folder, "drain_seconds": 4}
    )
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
        lambda run_id, node_id: Webhook(f"{run_id}.{node_id}", f"http://localhost/hooks/{run_id}.{node_id}"),
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
    edges = [edge(a["id"], b["id"]) for a, b in zip(nodes, nodes[1:], strict=False)]
    return {"nodes": list(nodes), "edges": edges}
