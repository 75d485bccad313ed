"""Publishing and registering a wait at the same moment, in every order of their statements: no event slips past a wait.

Each interleaving ends as one of the sessions' serial orders does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from runner_service.domain.history import node_started, node_suspended, run_suspended
from runner_service.domain.job_events import JobEvent
from runner_service.domain.listening import JobFilter, Listening
from runner_service.domain.projection import RunState
from runner_service.domain.runs import ClaimedRun, NewWait
from runner_service.domain.trigger_events import TriggerEvent
from runner_service.storage import replicas, runs, topics
from runner_service.storage.steps import Step
from runner_service.storage.topics import Published
from runner_service.usecases.deliver_job_events import deliver_job_events
from runner_service.usecases.fan_out import fan_out_events
from runner_service.usecases.publish_event import Publication, publish_event
from runner_service.usecases.register_waits import commit_listening_step
from runner_service.usecases.start_runs import Started, StartRequest, start_runs
from tests.integration.runner.conftest import Replicas
from tests.support.conditions import eventually
from tests.support.interleaving import Session, orders, play
from tests.support.postgres import lock_waiters
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.database import Database
from wakepoint.chassis.ids import new_id

GRAPH = chain(node("m", "Manual"), node("o", "Output"))
PAST = datetime(2001, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

Work = Callable[[Database], Awaitable[Any]]


@pytest.fixture
async def outside(replica: Replicas) -> AsyncIterator[Runner]:
    """Use-cases without a replica, so that the test itself holds the runs."""
    async with replica(claiming=False) as runner:
        yield runner


class Stage:
    """Held runs for as many scenes as there are, started and claimed a hundred at a time."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._held: list[ClaimedRun] = []

    async def held_run(self) -> ClaimedRun:
        """A run that nobody else uses."""
        if not self._held:
            await self._prepare()
        return self._held.pop()

    async def _prepare(self) -> None:
        requests = [StartRequest("w1", "e1", GRAPH, input={}) for _ in range(100)]
        runner, replica_id = self.runner, new_id()
        started = await start_runs(runner.database, runner.hub, runner.registry.facts, requests, {})
        mine = {one.run.run_id for one in started if isinstance(one, Started)}
        async with runner.database.connection() as connection:
            await replicas.register_replica(connection, replica_id, "test", 1, timedelta(hours=1), None)
            # Runs of earlier scenes, which an event has made ready, are claimed as well and left alone.
            while claimed := await runs.claim_runs(connection, replica_id, 1000, oldest=False, crashes=range(1)):
                self._held += [run for run in claimed if run.run_id in mine]


class Scene:
    """One topic, one experiment of jobs and some held runs, of which nobody else knows."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.runner = stage.runner
        self.topic = new_id()
        self.run_ids: list[str] = []

    def publish(self, event_id: str, ttl: timedelta | None) -> Work:
        event = TriggerEvent(event_id, "test", "test", None, PAST, topic=self.topic)
        publication = Publication("e1", self.topic, event, ttl)
        return lambda database: publish_event(database, self.runner.hub, publication)

    def deliver(self, job_id: str) -> Work:
        event = JobEvent(self.topic, job_id, "TRAIN", "COMPLETE", PAST, job_name="nightly")
        return lambda database: deliver_job_events(database, self.runner.hub, [event])

    async def known(self) -> None:
        """Make the topic one that was used before, which takes a wait fewer statements."""
        async with self.runner.database.connection() as connection:
            await topics.add_topics(connection, [("e1", self.topic), (self.topic, "")])

    async def listen(self) -> Work:
        return await self._suspend(lambda: Listening("m", "e1", (self.topic,)))

    async def listen_for_jobs(self) -> Work:
        wanted = JobFilter(self.topic, PAST, ("TRAIN",), condition="job.job_name == 'nightly'")
        return await self._suspend(lambda: Listening("m", "e1", jobs=wanted))

    async def _suspend(self, listening: Callable[[], Listening]) -> Work:
        held = await self.stage.held_run()
        self.run_ids.append(held.run_id)
        step = Step(
            held.run_id,
            held.epoch,
            0,
            RunState.SUSPENDED,
            guarded=True,
            seen_inbox_seq=0,
            lines=[node_started("m", "1", 1), node_suspended("m", "1", "r", {}, {}, None), run_suspended(["m"])],
            waits=[NewWait("m", "1", "Topic", suspended=True, reason="r")],
            suspended_node_ids=["m"],
            listening=[listening()],
        )
        return lambda database: commit_listening_step(database, step)

    async def outcome(self, results: Mapping[str, Any]) -> tuple[Any, ...]:
        """What can be seen once everything is delivered: the answers, and each run's state and inbox."""
        while (await fan_out_events(self.runner.database, self.runner.hub)).found:
            pass
        answers = tuple(sorted((name, _answer(result)) for name, result in results.items()))
        found = []
        for run_id in self.run_ids:
            (row,) = await self.runner.rows("select state from runner.runs where run_id = $1", UUID(run_id))
            found.append((row["state"], *sorted(await self.runner.events(run_id))))
        return answers, tuple(found)


Cast = Callable[[Scene], Awaitable[dict[str, Work]]]


def _answer(result: Any) -> Any:
    match result:
        case Published():
            return result.woken_count
        case list():
            return [(one.new, one.woken_count) for one in result]
        case _:
            return result


async def play_all(
    runner: Runner, cast: Cast, stops: Mapping[str, set[str] | None]
) -> tuple[list[tuple[tuple[str, ...], str]], set[str]]:
    """What each interleaving ended in, and what the serial orders end in."""
    stage = Stage(runner)
    lengths: dict[str, int] = {}
    serial = set()
    for turn in permutations(stops):
        scene = Scene(stage)
        works = await cast(scene)
        sessions = {name: Session(runner.database, stops[name]) for name in works}
        in_turn = [name for name in turn for _ in range(20)]
        serial.add(repr(await scene.outcome(await play(runner.database, sessions, works, in_turn))))
        lengths = {name: max(lengths.get(name, 0), len(session.steps)) for name, session in sessions.items()}
    found = []
    for order in orders(lengths):
        scene = Scene(stage)
        works = await cast(scene)
        sessions = {name: Session(runner.database, stops[name]) for name in works}
        results = await play(runner.database, sessions, works, order)
        found.append((order, repr(await scene.outcome(results))))
    return found, serial


async def check(runner: Runner, cast: Cast, stops: Mapping[str, set[str] | None], at_least: int) -> None:
    found, serial = await play_all(runner, cast, stops)
    assert len(found) >= at_least
    wrong = {order: outcome for order, outcome in found if outcome not in serial}
    assert not wrong


@pytest.mark.parametrize("ttl", [DAY, None])
async def test_an_event_and_a_wait_in_every_order_of_their_statements(outside: Runner, ttl: timedelta | None) -> None:
    async def cast(scene: Scene) -> dict[str, Work]:
        return {"publish": scene.publish("x", ttl), "wait": await scene.listen()}

    await check(outside, cast, {"publish": None, "wait": None}, 28 if ttl else 20)


async def test_two_events_and_a_wait_in_every_order_of_their_steps(outside: Runner) -> None:
    async def cast(scene: Scene) -> dict[str, Work]:
        await scene.known()
        return {"kept": scene.publish("x", DAY), "passing": scene.publish("y", None), "wait": await scene.listen()}

    stops: dict[str, set[str] | None] = {
        "kept": {"lock_topics"},
        "passing": {"publish"},
        "wait": {"share_topics", "listen_to_topics"},
    }
    await check(outside, cast, stops, 210)


async def test_an_event_and_two_waits_in_every_order_of_their_steps(outside: Runner) -> None:
    async def cast(scene: Scene) -> dict[str, Work]:
        await scene.known()
        return {"publish": scene.publish("x", DAY), "first": await scene.listen(), "second": await scene.listen()}

    stops: dict[str, set[str] | None] = {
        "publish": {"lock_topics"},
        "first": {"share_topics", "listen_to_topics"},
        "second": {"share_topics"},
    }
    await check(outside, cast, stops, 210)


async def test_an_event_and_its_repetition_in_every_order_of_their_statements(outside: Runner) -> None:
    async def cast(scene: Scene) -> dict[str, Work]:
        waiting = await scene.listen()
        assert await waiting(outside.database)
        return {"once": scene.publish("x", DAY), "again": scene.publish("x", None)}

    await check(outside, cast, {"once": None, "again": None}, 10)


async def test_a_job_event_and_a_wait_for_it_in_every_order_of_their_steps(outside: Runner) -> None:
    async def cast(scene: Scene) -> dict[str, Work]:
        await scene.known()
        return {"deliver": scene.deliver("j1"), "wait": await scene.listen_for_jobs()}

    stops: dict[str, set[str] | None] = {
        "deliver": {"lock_topics", "record_job_events", "waits_for_jobs"},
        "wait": {"share_topics", "commit_steps", "listen_for_jobs", "earlier_job_events"},
    }
    await check(outside, cast, stops, 126)


async def somebody_waits(database: Database) -> None:
    async def waiting() -> bool:
        async with database.connection() as connection:
            return bool(await lock_waiters(connection))

    await eventually(waiting)


async def step_to(session: Session, database: Database, work: Work, step: str) -> None:
    """Let a session run until it is about to do this step."""
    session.begin(work)

    async def there() -> bool:
        if session.at_gate and session.steps[-1] != step:
            session.permit()
        return session.at_gate and session.steps[-1] == step

    await eventually(there)


async def test_a_wait_for_jobs_waits_for_a_job_event_under_way_and_finds_it(outside: Runner) -> None:
    scene, delivering = Scene(Stage(outside)), Session(outside.database)
    await step_to(delivering, outside.database, scene.deliver("j1"), "commit")
    waiting = asyncio.ensure_future((await scene.listen_for_jobs())(outside.database))
    await somebody_waits(outside.database)
    assert not waiting.done()
    delivering.permit()
    results = {"deliver": await delivering.result(), "wait": await waiting}
    answers, found = await scene.outcome(results)
    assert answers == (("deliver", [(True, 0)]), ("wait", True))
    assert found == (("QUEUED", "j1:1:COMPLETE"),)


async def test_a_job_event_waits_for_a_wait_that_is_being_registered_and_wakes_it(outside: Runner) -> None:
    scene, registering = Scene(Stage(outside)), Session(outside.database)
    await step_to(registering, outside.database, await scene.listen_for_jobs(), "commit")
    delivering = asyncio.ensure_future(scene.deliver("j1")(outside.database))
    await somebody_waits(outside.database)
    assert not delivering.done()
    registering.permit()
    results = {"wait": await registering.result(), "deliver": await delivering}
    answers, found = await scene.outcome(results)
    assert answers == (("deliver", [(True, 1)]), ("wait", True))
    assert found == (("QUEUED", "j1:1:COMPLETE"),)


async def test_waits_for_one_topic_are_registered_side_by_side(outside: Runner) -> None:
    scene = Scene(Stage(outside))
    assert await (await scene.listen())(outside.database)
    first = Session(outside.database)
    await step_to(first, outside.database, await scene.listen(), "commit")
    assert await asyncio.wait_for((await scene.listen())(outside.database), 5)
    first.permit()
    assert await first.result()


async def test_an_event_without_a_ttl_waits_for_nobody(outside: Runner) -> None:
    scene, registering = Scene(Stage(outside)), Session(outside.database)
    await step_to(registering, outside.database, await scene.listen(), "commit")
    published = await asyncio.wait_for(scene.publish("x", None)(outside.database), 5)
    assert published.woken_count == 0
    registering.permit()
    assert await registering.result()
