"""Job events on real runs: which waits they wake, also those that begin later."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runner_service.domain.history import EventType
from runner_service.domain.job_events import JobEvent
from runner_service.domain.projection import RunState
from runner_service.usecases.deliver_job_events import JobEventTaken, deliver_job_events
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.runner import Runner, chain, node, runner_on
from tests.support.runner_checks import check_runs
from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.expressions import Program

SUSPENDING: dict[str, Any] = {"inactivity_timeout_seconds": 0}


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        yield running
    await check_runs(runner_db)


def job(job_id: str = "j1", **fields: Any) -> JobEvent:
    """A job event of this moment."""
    event = JobEvent("e1", job_id, "TRAIN", "COMPLETE", SystemClock().now(), event_id=f"event-{job_id}")
    return replace(event, **fields)


async def tell(runner: Runner, *events: JobEvent) -> Sequence[Any]:
    return await deliver_job_events(runner.database, runner.hub, events)


async def start_waiting(runner: Runner, **properties: Any) -> str:
    run_id = await start(runner, **properties)
    await until_listening(runner, run_id)
    return run_id


async def start(runner: Runner, **properties: Any) -> str:
    return await runner.start(chain(node("j", "JobCompleted", **properties), node("o", "Output")))


async def until_listening(runner: Runner, run_id: str) -> None:
    async def there() -> bool:
        query = "select count(*) from runner.job_waits where run_id = $1::text::uuid"
        return bool((await runner.rows(query, run_id))[0][0])

    await eventually(there)


async def output_of(runner: Runner, run_id: str) -> Any:
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    return run.outputs["o"]


@pytest.mark.parametrize("timeout", [0, 300])
async def test_a_job_event_wakes_a_wait_for_it_once_hot_or_suspended(runner: Runner, timeout: float) -> None:
    run_id = await start_waiting(runner, inactivity_timeout_seconds=timeout)
    event = job(job_name="nightly", attributes={"accuracy": 0.9}, attempt=2, trace_parent="00-1-2-01")
    assert await tell(runner, event, event) == [JobEventTaken(True, 1), JobEventTaken(False, 0)]
    output = await output_of(runner, run_id)
    assert output["payload"] == {
        "event_id": "event-j1",
        "job": {
            "experiment_id": "e1",
            "job_id": "j1",
            "attempt": 2,
            "job_type": "TRAIN",
            "job_name": "nightly",
            "status": "COMPLETE",
            "attributes": {"accuracy": 0.9},
        },
    }
    assert (output["subject"], output["trace_parent"]) == ("j1", "00-1-2-01")
    assert await tell(runner, event) == [JobEventTaken(False, 0)]
    assert await runner.count(run_id, EventType.TRIGGER_EVENT_RECEIVED) == 1


@pytest.mark.parametrize(
    ("properties", "passing", "other"),
    [
        ({"job_types": ["EVAL", "EXPORT"]}, {"job_type": "EXPORT"}, {"job_type": "TRAIN"}),
        ({"statuses": ["FAILED", "STOPPED"]}, {"status": "STOPPED"}, {"status": "COMPLETE"}),
        ({"job_name_pattern": "night*"}, {"job_name": "nightly"}, {"job_name": "daily"}),
        ({"condition": "job.attributes.n > 3"}, {"attributes": {"n": 4}}, {"attributes": {"n": 3}}),
        ({"condition": "job.attributes.n > 3"}, {"attributes": {"n": 4}}, {"attributes": {}}),
        ({"condition": "job.attributes.n"}, {"attributes": {"n": True}}, {"attributes": {"n": "text"}}),
        ({"experiment_id": "e2"}, {"experiment_id": "e2"}, {"experiment_id": "e1"}),
        ({}, {}, {"experiment_id": "e2"}),
        ({}, {}, {"status": "RUNNING"}),
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_only_what_fits_the_filter_wakes(
    runner: Runner, properties: dict[str, Any], passing: dict[str, Any], other: dict[str, Any], late: bool
) -> None:
    begun = SystemClock().now().isoformat()
    events = job("wrong", **other), job("right", **passing)
    if late:
        await tell(runner, *events)
        run_id = await start(runner, since=begun, **SUSPENDING, **properties)
    else:
        run_id = await start_waiting(runner, since=begun, **SUSPENDING, **properties)
        assert [result.woken_count for result in await tell(runner, *events)] == [0, 1]
    assert (await output_of(runner, run_id))["payload"]["job"]["job_id"] == "right"


async def test_a_late_wait_finds_events_since_its_runs_creation_and_no_older_ones(runner: Runner) -> None:
    await tell(runner, job("before the run"))
    graph = chain(node("m", "Manual"), node("j", "JobCompleted"), node("o", "Output"))
    run_id = await runner.start(graph)
    await tell(runner, job("during the run"))
    await runner.wake(run_id, "m")
    assert (await output_of(runner, run_id))["payload"]["job"]["job_id"] == "during the run"


async def test_an_event_that_occurred_before_since_does_not_count_however_late_it_is_delivered(runner: Runner) -> None:
    early = job("early")
    run_id = await start_waiting(runner, **SUSPENDING)
    assert [result.woken_count for result in await tell(runner, early, job("late"))] == [0, 1]
    assert (await output_of(runner, run_id))["payload"]["job"]["job_id"] == "late"


async def test_a_late_wait_takes_earlier_events_in_their_order_and_no_more_than_it_needs(runner: Runner) -> None:
    begun = SystemClock().now().isoformat()
    await tell(runner, *(job(f"j{number}") for number in range(5)))
    run_id = await start(runner, since=begun, max_events=2, **SUSPENDING)
    await runner.until(run_id, RunState.COMPLETED)
    taken = [
        line.payload["outputs"]["output"]["payload"]["job"]["job_id"]
        for line in await runner.log(run_id)
        if (line.event_type, line.node_id) == (EventType.NODE_COMPLETED, "j")
    ]
    assert taken == ["j0", "j1"]
    assert await runner.count(run_id, EventType.TRIGGER_EVENT_RECEIVED) == 2


async def test_an_event_is_retained_for_as_long_as_is_set(runner: Runner) -> None:
    begun = SystemClock().now().isoformat()
    await tell(runner, job("forgotten"))
    async with runner.database.connection() as connection:
        await set_clock_offset(connection, "runner", timedelta(hours=25))
    run_id = await start_waiting(runner, since=begun, **SUSPENDING)
    await tell(runner, job("told now"))
    assert (await output_of(runner, run_id))["payload"]["job"]["job_id"] == "told now"


async def test_events_between_activations_are_kept_and_an_endless_wait_takes_each_once(runner: Runner) -> None:
    run_id = await start_waiting(runner, max_events=0, **SUSPENDING)
    for number in range(3):
        await tell(runner, job(f"j{number}"), job(f"j{number}"))

    async def all_taken() -> bool:
        return await runner.count(run_id, EventType.NODE_COMPLETED, "j") == 3

    await eventually(all_taken)
    await runner.until(run_id, RunState.SUSPENDED)


async def test_an_event_that_is_not_sound_fails_alone(runner: Runner) -> None:
    run_id = await start_waiting(runner)
    results = await tell(
        runner, job(""), job("x" * 256, event_id=""), job("s", status="DONE"), job("a", attempt=0), job("good")
    )
    assert [isinstance(result, InvalidArgument) for result in results] == [True] * 4 + [False]
    assert [[fault.field for fault in result.violations] for result in results[:4]] == [
        ["job_id"],
        ["job_id"],
        ["status"],
        ["attempt"],
    ]
    assert (await output_of(runner, run_id))["payload"]["job"]["job_id"] == "good"


async def test_a_condition_over_a_thousand_waits_is_asked_once_an_event(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await start_waiting(runner, condition="job.attributes.n > 3", **SUSPENDING)
    await runner.until(run_id, RunState.SUSPENDED)
    async with runner.database.connection() as connection:
        await connection.execute(
            "insert into runner.job_waits select gen_random_uuid(), node_id, experiment_id, job_type, statuses, "
            "job_name_pattern, condition, since from runner.job_waits, generate_series(1, 1000)"
        )
    asked: list[str] = []
    evaluate = Program.evaluate_bool

    def counted(program: Program, values: Any) -> bool:
        asked.append(program.text)
        return evaluate(program, values)

    monkeypatch.setattr(Program, "evaluate_bool", counted)
    assert await tell(runner, job(attributes={"n": 4})) == [JobEventTaken(True, 1001)]
    assert len(asked) == 1
    await output_of(runner, run_id)

    async def delivered() -> bool:
        return not (await runner.rows("select from runner.fan_out"))

    await eventually(delivered)


async def test_a_condition_that_does_not_compile_is_refused_with_its_graph(runner: Runner) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await start(runner, condition="job.")
    assert [fault.field for fault in refused.value.violations] == ["graph.nodes[0].properties.condition"]
