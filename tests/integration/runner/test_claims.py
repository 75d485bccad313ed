"""Which ready run is claimed next."""

from uuid import UUID

from runner_service.domain.projection import RunState
from runner_service.usecases.claim_runs import LoadedRun
from tests.integration.runner.conftest import Replicas
from tests.support.runner import chain, node

GRAPH = chain(node("c", "Constant"))


async def test_every_fourth_claim_takes_the_oldest_run_whatever_its_priority(replica: Replicas) -> None:
    async with replica(claiming=False) as runner:
        worker, claimed = runner.replica.worker, list[str]()

        def note(loaded: LoadedRun, *, suspect: bool) -> None:
            claimed.append(loaded.claimed.run_id)

        worker._execute = note  # type: ignore[method-assign]
        await worker._lease.start(lambda: None)
        oldest, *others = [await runner.start(GRAPH) for _ in range(8)]
        for number, run_id in enumerate(others):
            await runner.rows("update runner.runs set priority = $2 where run_id = $1", UUID(run_id), number + 1)
        for _ in range(5):
            assert await worker._claim(1) == 1
        by_priority = list(reversed(others))
        assert claimed == [*by_priority[:3], oldest, by_priority[3]]
        await worker._lease.halt()


async def test_a_replica_that_was_declared_dead_claims_nothing(replica: Replicas) -> None:
    async with replica(claiming=False) as runner:
        worker = runner.replica.worker
        await worker._lease.start(lambda: None)
        await runner.start(GRAPH)
        await runner.rows("update runner.replicas set dead = true")
        assert await worker._claim(10) == 0
        await worker._lease.halt()


async def test_a_wake_up_gives_its_run_the_priority_of_the_event_or_of_the_trigger(replica: Replicas) -> None:
    async with replica() as runner:
        run_id = await runner.start(chain(node("m", "Manual", inactivity_timeout_seconds=0, priority=7, max_events=2)))
        await runner.until(run_id, RunState.SUSPENDED)
    async with replica(claiming=False) as outside:
        await outside.wake(run_id, "m")
        (row,) = await outside.rows("select state, priority from runner.runs")
        assert tuple(row) == ("QUEUED", 7)
