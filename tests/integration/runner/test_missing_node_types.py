"""Runs whose node types no replica has."""

from typing import Any
from uuid import UUID

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.domain.runs import Disposition
from runner_service.usecases.sort_out_unrunnable import sort_out_unrunnable
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.runner import chain, node
from wakepoint.nodes import Context, Node


class Rare(Node):
    async def process(self, context: Context) -> Any:
        return "done"


GRAPH = chain(node("r", "Rare"), node("o", "Output"))


async def test_a_run_whose_type_is_gone_waits_saying_so_and_goes_on_when_it_is_there_again(replica: Replicas) -> None:
    async with replica(nodes=[Rare], claiming=False) as outside:
        run_id = await outside.start(GRAPH)
    async with replica() as without:
        await without.until(run_id, RunState.SUSPENDED)
        (told,) = [e for e in await without.log(run_id) if e.event_type is EventType.RUN_SUSPENDED]
        assert told.payload["reason"] == "no runner has the node types Rare"
        assert told.payload["missing_node_types"] == ["Rare"]
        assert await without.count(run_id, EventType.RUN_STARTED) == 0, "who does not have it does not claim it"
        assert await sort_out_unrunnable(without.database, without.hub) == 0
        lines = len(await without.log(run_id))
        async with replica(nodes=[Rare]) as with_it:
            run = await with_it.until(run_id, RunState.COMPLETED)
            assert run.outputs == {"o": "done"}
            (started,) = [e for e in await with_it.log(run_id) if e.event_type is EventType.RUN_STARTED]
            assert started.payload["replica_id"] == with_it.replica_id
        assert lines == 3, "created, queued, suspended: it was not turned over and over"


async def test_a_replica_without_the_type_leaves_the_run_to_one_that_has_it(replica: Replicas) -> None:
    async with replica() as without, replica(nodes=[Rare]) as with_it:
        run_ids = [await with_it.start(GRAPH) for _ in range(20)]
        for run_id in run_ids:
            await with_it.until(run_id, RunState.COMPLETED)
            assert await without.count(run_id, EventType.RUN_SUSPENDED) == 0


async def test_an_event_for_such_a_run_is_kept(replica: Replicas) -> None:
    graph = chain(node("m", "Manual", inactivity_timeout_seconds=0), node("r", "Rare"), node("o", "Output"))
    async with replica(nodes=[Rare]) as with_it:
        run_id = await with_it.start(graph)
        await with_it.until(run_id, RunState.SUSPENDED)
    async with replica() as without:
        assert (await without.wake(run_id, "m", None, "e1")).disposition is Disposition.DELIVERED

        async def told() -> bool:
            rows = await without.rows("select missing_types from runner.runs where run_id = $1", UUID(run_id))
            return bool(rows[0]["missing_types"] == ["Rare"])

        await eventually(told)
        assert await without.events(run_id) == {"e1": ("PENDING", None)}
    async with replica(nodes=[Rare]) as with_it:
        assert (await with_it.until(run_id, RunState.COMPLETED)).outputs == {"o": "done"}
