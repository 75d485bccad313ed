"""Topics on real runs: who is reached, who not, and what is told of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.domain.trigger_events import TriggerEvent
from runner_service.storage.topics import Published
from runner_service.usecases.fan_out import fan_out_events, forget_published
from runner_service.usecases.publish_event import Publication, publish_event
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.runner import Runner, chain, edge, node, runner_on
from tests.support.runner_checks import check_runs
from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.nodes import Context, TriggerNode

MINUTE = timedelta(minutes=1)
SUSPENDING: dict[str, Any] = {"inactivity_timeout_seconds": 0}


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        yield running
    await check_runs(runner_db)


async def publish(
    runner: Runner, topic: str, event_id: str, payload: Any = None, *, ttl: timedelta | None = None, **more: Any
) -> Published:
    experiment_id = more.pop("experiment_id", "e1")
    event = TriggerEvent(event_id, "test", "test", payload, SystemClock().now(), topic=topic, **more)
    return await publish_event(runner.database, runner.hub, Publication(experiment_id, topic, event, ttl))


async def listening(runner: Runner, topic: str) -> list[str]:
    async with runner.database.connection() as connection:
        query = "select run_id::text from runner.topic_waits where topic = $1 order by run_id"
        return [row["run_id"] for row in await connection.fetch(query, topic)]


async def start_waiting(runner: Runner, topic: str, **properties: Any) -> str:
    """A run that listens to the topic."""
    run_id = await runner.start(chain(node("t", "Topic", topic=topic, **properties), node("o", "Output")))
    await until_listening(runner, run_id, topic)
    return run_id


async def until_listening(runner: Runner, run_id: str, topic: str) -> None:
    async def there() -> bool:
        return run_id in await listening(runner, topic)

    await eventually(there)


async def output_of(runner: Runner, run_id: str, name: str = "o") -> Any:
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    return run.outputs[name]


@pytest.mark.parametrize("timeout", [0, 300])
async def test_an_event_wakes_every_wait_for_its_topic_hot_or_suspended(runner: Runner, timeout: float) -> None:
    mine = [await start_waiting(runner, "builds", inactivity_timeout_seconds=timeout) for _ in range(3)]
    other = await start_waiting(runner, "deploys", inactivity_timeout_seconds=timeout)
    published = await publish(runner, "builds", "b1", {"n": 1})
    assert published.woken_count == 3
    assert [(woken.run_id, woken.workflow_id, woken.node_id) for woken in published.woken] == [
        (run_id, "w1", "t") for run_id in sorted(mine)
    ]
    for run_id in mine:
        output = await output_of(runner, run_id)
        assert (output["payload"], output["topic"], output["event_id"]) == ({"n": 1}, "builds", "b1")
    assert await listening(runner, "builds") == []
    assert await listening(runner, "deploys") == [other]


async def test_only_waits_of_the_same_experiment_are_reached(runner: Runner) -> None:
    run_id = await start_waiting(runner, "t")
    assert (await publish(runner, "t", "x", experiment_id="e2", ttl=MINUTE)).woken_count == 0
    assert (await publish(runner, "t", "x")).woken_count == 1
    await output_of(runner, run_id)


async def test_a_repetition_is_answered_as_the_first_time_and_reaches_nobody_else(runner: Runner) -> None:
    first = await start_waiting(runner, "t")
    told = await publish(runner, "t", "x", "first")
    await output_of(runner, first)
    second = await start_waiting(runner, "t", **SUSPENDING)
    assert await publish(runner, "t", "x", "second") == told
    assert (await publish(runner, "t", "y", "third")).woken_count == 1
    assert (await output_of(runner, second))["payload"] == "third"


async def test_a_late_wait_gets_what_was_published_with_a_ttl_and_nothing_else(runner: Runner) -> None:
    await publish(runner, "t", "gone", "without ttl")
    assert (await publish(runner, "t", "kept", "with ttl", ttl=MINUTE)).woken_count == 0
    await publish(runner, "t", "later", "with ttl too", ttl=MINUTE)
    run_id = await runner.start(chain(node("t", "Topic", topic="t"), node("o", "Output")))
    assert (await output_of(runner, run_id))["payload"] == "with ttl"


async def test_a_late_wait_gets_retained_events_in_their_order_each_once(runner: Runner) -> None:
    for number in range(3):
        await publish(runner, "t", f"x{number}", number, ttl=MINUTE)
    run_id = await runner.start(chain(node("t", "Topic", topic="t", max_events=4, **SUSPENDING), node("o", "Output")))

    async def three_taken() -> bool:
        return await runner.count(run_id, EventType.NODE_COMPLETED, "t") == 3

    await eventually(three_taken)
    await runner.until(run_id, RunState.SUSPENDED)
    await publish(runner, "t", "x3", 3)
    await output_of(runner, run_id)
    outputs = [
        line.payload["outputs"]["output"]["payload"]
        for line in await runner.log(run_id)
        if (line.event_type, line.node_id) == (EventType.NODE_COMPLETED, "t")
    ]
    assert outputs == [0, 1, 2, 3]


async def test_an_event_whose_ttl_or_own_time_is_over_reaches_no_late_wait(runner: Runner) -> None:
    await publish(runner, "t", "old", ttl=MINUTE)
    await publish(runner, "t", "expired", ttl=timedelta(days=1), expire_time=SystemClock().now() + MINUTE)
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", timedelta(minutes=2))
    run_id = await start_waiting(runner, "t", **SUSPENDING)
    await publish(runner, "t", "new")
    assert (await output_of(runner, run_id))["event_id"] == "new"


async def test_an_event_that_expires_on_its_way_is_told_as_expired(
    runner_db: Database, runner_dsn: str, tmp_path: Path
) -> None:
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        run_id = await start_waiting(running, "t", **SUSPENDING)
        await running.until(run_id, RunState.SUSPENDED)
    async with runner_on(runner_db, runner_dsn, tmp_path, claiming=False) as idle:
        soon = SystemClock().now() + timedelta(seconds=0.3)
        assert (await publish(idle, "t", "x", expire_time=soon)).woken_count == 1
        await eventually(lambda: SystemClock().now() > soon)
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:

        async def told() -> bool:
            return await running.count(run_id, EventType.TRIGGER_EVENT_EXPIRED, "t") == 1

        await eventually(told)
        assert [state for state, _ in (await running.events(run_id)).values()] == ["EXPIRED"]
        await running.until(run_id, RunState.SUSPENDED)


async def test_an_event_published_while_the_work_behind_a_trigger_runs_is_kept_for_its_next_activation(
    runner: Runner,
) -> None:
    graph = chain(node("t", "Topic", topic="t", max_events=2, **SUSPENDING), node("m", "Manual", **SUSPENDING))
    run_id = await runner.start(graph)
    await until_listening(runner, run_id, "t")
    await publish(runner, "t", "x1")

    async def behind() -> bool:
        return (await runner.get(run_id)).run.suspended_node_ids == ("m",)

    await eventually(behind)
    assert (await publish(runner, "t", "x2")).woken_count == 1
    await runner.wake(run_id, "m")

    async def second() -> bool:
        return await runner.count(run_id, EventType.NODE_COMPLETED, "t") == 2

    await eventually(second)
    assert await listening(runner, "t") == []
    assert (await publish(runner, "t", "x3")).woken_count == 0


async def test_templates_in_topics_are_rendered_when_the_node_runs(runner: Runner) -> None:
    topic = "builds/${input.job.job_name}/${inputs.input}"
    graph = chain(node("c", "Constant", value=7), node("t", "Topic", topic=topic), node("o", "Output"))
    run_id = await runner.start(graph, {"job": {"job_name": "nightly"}})
    await until_listening(runner, run_id, "builds/nightly/7")
    await publish(runner, "builds/nightly/7", "x")
    await output_of(runner, run_id)


async def test_a_topic_that_renders_to_nothing_fails_the_run_with_a_reason(runner: Runner) -> None:
    run_id = await runner.start(chain(node("t", "Topic", topic="${input.name}")), {"name": ""})
    run = await runner.until(run_id, RunState.FAILED)
    assert run.error is not None
    assert "topic" in run.error["message"]


async def test_cloudevents_attributes_come_through(runner: Runner) -> None:
    run_id = await start_waiting(runner, "t", **SUSPENDING)
    attributes = {"subject": "s", "trace_parent": "00-1-2-01", "extensions": {"partitionkey": "p"}}
    await publish(runner, "t", "x", {"a": 1}, ttl=MINUTE, priority=5, **attributes)
    output = await output_of(runner, run_id)
    assert {name: output[name] for name in attributes} == attributes
    late = await runner.start(chain(node("t", "Topic", topic="t"), node("o", "Output")))
    output = await output_of(runner, late)
    assert {name: output[name] for name in attributes} == attributes


async def test_publish_event_reaches_a_topic_of_another_run_once(runner: Runner) -> None:
    waiting = await start_waiting(runner, "models/m1", **SUSPENDING)
    graph = {
        "nodes": [
            node("c", "Constant", value={"model_id": "m1"}),
            node("p", "PublishEvent", topic="models/${inputs.input.model_id}"),
            node("o", "Output"),
        ],
        "edges": [edge("c", "p"), edge("p", "o")],
    }
    run_id = await runner.start(graph)
    output = await output_of(runner, run_id)
    assert output == {"topic": "models/m1", "event_id": f"{run_id}:p:0", "woken_count": 1}
    received = await output_of(runner, waiting)
    assert (received["payload"], received["subject"]) == ({"model_id": "m1"}, run_id)


async def test_wait_for_all_gathers_over_suspensions_and_keeps_listening_between_them(runner: Runner) -> None:
    graph = chain(node("all", "WaitForAll", topics=["a", "b", "c"]), node("o", "Output"))
    run_id = await runner.start(graph)
    await until_listening(runner, run_id, "c")
    for topic in ("b", "a"):
        suspensions = await runner.count(run_id, EventType.NODE_SUSPENDED, "all")
        assert (await publish(runner, topic, f"on-{topic}", topic)).woken_count == 1

        async def again(before: int = suspensions) -> bool:
            return await runner.count(run_id, EventType.NODE_SUSPENDED, "all") > before

        await eventually(again)
        await runner.until(run_id, RunState.SUSPENDED)
    await publish(runner, "c", "on-c", "c")
    output = await output_of(runner, run_id)
    assert {topic: event["payload"] for topic, event in output["events"].items()} == {"a": "a", "b": "b", "c": "c"}
    assert output["missing"] == []
    assert await listening(runner, "a") == []


async def test_wait_for_any_goes_on_with_n_of_m(runner: Runner) -> None:
    run_id = await runner.start(chain(node("any", "WaitForAny", topics=["a", "b", "c"], count=2), node("o", "Output")))
    await until_listening(runner, run_id, "c")
    await publish(runner, "c", "1")
    await publish(runner, "a", "2")
    output = await output_of(runner, run_id)
    assert (set(output["events"]), output["missing"]) == ({"a", "c"}, ["b"])


async def test_a_fan_out_goes_on_in_batches_and_loses_and_doubles_nothing_when_it_breaks_off(
    runner_db: Database, runner_dsn: str, tmp_path: Path
) -> None:
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        ids = [await start_waiting(running, "t", **SUSPENDING) for _ in range(7)]
        for run_id in ids:
            await running.until(run_id, RunState.SUSPENDED)
    async with runner_on(runner_db, runner_dsn, tmp_path, claiming=False) as idle:
        assert (await publish(idle, "t", "x", ttl=MINUTE)).woken_count == 7
        assert [(b.found, b.done) for b in [await fan_out_events(runner_db, idle.hub, 3) for _ in range(2)]] == [
            (3, 3)
        ] * 2
        async with runner_db.connection() as connection:
            # What a replica that died before its commit leaves behind: everything of its batch is still to be done.
            assert await connection.fetchval("select count(*) from runner.fan_out") == 1
            assert await connection.fetchval("select count(*) from runner.inbox") == 6
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        for run_id in ids:
            await running.until(run_id, RunState.COMPLETED)
            assert await running.count(run_id, EventType.TRIGGER_EVENT_RECEIVED) == 1
        await check_runs(runner_db)


async def test_a_run_that_ends_listens_no_more_however_it_ended(runner: Runner) -> None:
    run_id = await start_waiting(runner, "t", **SUSPENDING)
    async with runner.database.connection() as connection:
        await connection.execute(
            "update runner.runs set state = 'CANCELLED', end_time = now() where run_id = $1::text::uuid", run_id
        )
    assert await listening(runner, "t") == []
    assert (await publish(runner, "t", "x")).woken_count == 0
    async with runner.database.connection() as connection:
        await connection.execute("delete from runner.waits")
        await connection.execute("delete from runner.run_events")
        await connection.execute("delete from runner.runs")


async def test_what_nobody_can_get_any_more_is_forgotten(runner: Runner) -> None:
    run_id = await start_waiting(runner, "in-use", **SUSPENDING)
    await publish(runner, "t", "x", ttl=timedelta(days=3))
    await publish(runner, "t", "y")
    for offset, left in ((timedelta(hours=25), (1, 2)), (timedelta(days=4), (0, 1))):
        async with runner.database.connection() as connection:
            await set_clock_offset(connection, "runner", offset)
            await forget_published(runner.database)
            count = "select (select count(*) from runner.publications), (select count(*) from runner.topics)"
            assert tuple((await connection.fetch(count))[0]) == left
    await publish(runner, "in-use", "z")
    await output_of(runner, run_id)


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"topic": ""}, ["topic"]),
        ({"topic": "x" * 501}, ["topic"]),
        ({"topic": "nul\0"}, ["topic", "event.topic"]),
        ({"experiment_id": ""}, ["experiment_id"]),
        ({"ttl": timedelta(0)}, ["ttl"]),
        ({"ttl": timedelta(days=400)}, ["ttl"]),
        ({"source": "wakepoint/publish"}, ["event.source"]),
        ({"payload": "x" * 2**20}, ["event.payload"]),
    ],
)
async def test_what_cannot_be_published_is_named(runner: Runner, fields: dict[str, Any], faulty: list[str]) -> None:
    given = {"experiment_id": "e1", "topic": "t", "ttl": None, "source": "test", "payload": None, **fields}
    event = TriggerEvent("x", given["source"], "test", given["payload"], SystemClock().now(), topic=given["topic"])
    with pytest.raises(InvalidArgument) as refused:
        await publish_event(
            runner.database, runner.hub, Publication(given["experiment_id"], given["topic"], event, given["ttl"])
        )
    assert [violation.field for violation in refused.value.violations] == faulty


class Relay(TriggerNode):
    """Takes an event of any of its topics and publishes it to another."""

    topics: list[str] = Field(default_factory=list)
    """Where to listen."""
    target: str = ""
    """Where to publish."""

    async def process(self, context: Context) -> Any:
        context.host.listen(self.topics)
        event = await self.wait_for_trigger_event()
        return await context.host.publish(
            self.target, {"event_id": context.idempotency_key, "payload": event["payload"]}
        )


async def test_a_node_of_ones_own_listens_and_publishes(runner_db: Database, runner_dsn: str, tmp_path: Path) -> None:
    async with runner_on(runner_db, runner_dsn, tmp_path, nodes=[Relay]) as running:
        waiting = await start_waiting(running, "out", **SUSPENDING)
        relay = await running.start(chain(node("r", "Relay", topics=["a", "b"], target="out"), node("o", "Output")))
        await until_listening(running, relay, "b")
        assert (await publish(running, "b", "x", "through")).woken_count == 1
        assert await output_of(running, relay) == 1
        assert (await output_of(running, waiting))["payload"] == "through"


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"topics": [""]}, "topics[0]: must not be empty"),
        ({"topics": ["x" * 501]}, "topics[0]: must have at most 500 bytes"),
        ({"topics": [str(n) for n in range(101)]}, "topics: must be at most 100, not 101"),
        ({"topics": ["nul\0"]}, "topics[0] cannot be stored"),
    ],
)
async def test_a_node_that_listens_to_what_cannot_be_a_topic_fails_with_the_reason(
    runner_db: Database, runner_dsn: str, tmp_path: Path, properties: dict[str, Any], problem: str
) -> None:
    class Wrong(TriggerNode):
        """Listens to what its run was started with."""

        async def process(self, context: Context) -> Any:
            context.host.listen([text.replace("\\0", "\0") for text in context.run.input["topics"]])

    async with runner_on(runner_db, runner_dsn, tmp_path, nodes=[Wrong]) as running:
        given = {"topics": [text.replace("\0", "\\0") for text in properties["topics"]]}
        run = await running.until(await running.start(chain(node("w", "Wrong")), given), RunState.FAILED)
        assert run.error is not None
        assert problem in run.error["message"]
