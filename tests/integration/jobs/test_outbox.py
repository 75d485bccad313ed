"""What the runner tells trigger_service: everything, in order, at least once, whoever is away or refuses what."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status

from runner_service.domain.jobs import job_event
from runner_service.domain.projection import RunState
from runner_service.domain.runs import JOB_EVENT, RUN_STATE
from runner_service.rpc.trigger_client import TriggerClient
from runner_service.storage import outbox
from runner_service.storage.steps import NewJob, OutboxEntry
from runner_service.usecases.cancel_run import cancel_run
from runner_service.usecases.deliver_outbox import LEASE, deliver_outbox
from runner_service.worker.hub import Hub
from runner_service.worker.outbox import keep_delivering
from tests.integration.jobs.graphs import GRANDCHILD, script, up, writing
from tests.integration.jobs.process import killed, running
from tests.integration.jobs.recorder import Recorder, recording
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.proxy import proxied
from tests.support.runner import chain, node, runner_on
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import Aborted, FailedPrecondition, InvalidArgument, WakepointError
from wakepoint.chassis.ids import new_id
from wakepoint.nodes import RunInfo
from wakepoint.workflow.v1.execution_pb2 import RunState as Wire

STATUSES = ("LAUNCHING", "RUNNING", "COMPLETE")


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    async with recording() as one:
        yield one


@pytest.fixture
async def client(recorder: Recorder) -> AsyncIterator[TriggerClient]:
    one = TriggerClient(recorder.address, deadline=2.0)
    yield one
    await one.close()


@asynccontextmanager
async def delivering(database: Database, client: TriggerClient, loops: int = 1) -> AsyncIterator[Hub]:
    hub = Hub(database, lambda _: None)
    tasks = [asyncio.create_task(keep_delivering(database, client, hub)) for _ in range(loops)]
    try:
        yield hub
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def event(job_id: str, status: str, attributes: dict[str, Any] | None = None) -> OutboxEntry:
    job = NewJob(job_id, "j", "0", "EVAL", "judge", "subprocess", {}, "host")
    run = RunInfo("r1", "w1", "e1", {}, None, 1)  # type: ignore[arg-type]
    return OutboxEntry(JOB_EVENT, job_event(job, run, status, attributes))


async def add(database: Database, *entries: OutboxEntry) -> None:
    async with database.connection() as connection:
        await outbox.add_to_outbox(connection, entries)


async def left(database: Database) -> list[tuple[str, bool]]:
    """What is in the outbox still: (subject, whether it was refused)."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "select subject, refuse_time is not null as refused from runner.outbox order by outbox_id"
        )
    return [(row["subject"], row["refused"]) for row in rows]


async def emptied(database: Database) -> None:
    async def empty() -> bool:
        return await left(database) == []

    await eventually(empty, 20)


async def test_an_event_arrives_with_everything_that_is_known(
    runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    job_id = new_id()
    await add(runner_db, event(job_id, "COMPLETE", {"accuracy": 0.5}))
    async with delivering(runner_db, client):
        await emptied(runner_db)
    (told,) = recorder.events
    assert told.event_id == f"{job_id}:1:COMPLETE"
    assert (told.source, told.experiment_id, told.job_id, told.attempt) == ("wakepoint/runner", "e1", job_id, 1)
    assert (told.job_type, told.job_name, told.status) == ("EVAL", "judge", "COMPLETE")
    assert dict(told.attributes) == {"accuracy": 0.5}
    assert (told.causation.run_id, told.causation.depth) == ("r1", 2)
    assert told.HasField("occur_time")


async def test_the_events_of_a_job_arrive_in_order_whatever_replicas_and_failures_there_are(
    runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    rng = random.Random(7)
    jobs = [new_id() for _ in range(30)]
    recorder.refusal = lambda _event: Aborted("somebody was faster") if rng.random() < 0.2 else None
    async with delivering(runner_db, client, loops=4) as hub:
        for status in STATUSES:
            await add(runner_db, *(event(job_id, status) for job_id in jobs))
            hub.outbox_grew()
        await emptied(runner_db)
    for job_id in jobs:
        assert [status for told, status in recorder.told if told == job_id] == list(STATUSES)


async def test_what_is_delivered_by_one_replica_is_not_delivered_by_another(
    runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    await add(runner_db, *(event(new_id(), "RUNNING") for _ in range(50)))
    recorder.gate.clear()
    first = asyncio.create_task(deliver_outbox(runner_db, client))
    await eventually(lambda: recorder.calls == 1)
    assert (await deliver_outbox(runner_db, client)).found == 0
    recorder.gate.set()
    assert len((await first).taken) == 50
    assert len(recorder.told) == 50


async def test_nothing_is_lost_while_trigger_service_is_away(
    runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    await recorder.go_away()
    job_id = new_id()
    async with delivering(runner_db, client) as hub:
        for status in STATUSES:
            await add(runner_db, event(job_id, status))
            hub.outbox_grew()

        async def tried() -> bool:
            async with runner_db.connection() as connection:
                return bool(await connection.fetchval("select max(attempts) >= 2 from runner.outbox"))

        await eventually(tried)
        assert len(await left(runner_db)) == 3
        await recorder.come()
        await emptied(runner_db)
    assert recorder.told == [(job_id, status) for status in STATUSES]


async def test_an_answer_that_is_lost_means_telling_again(runner_db: Database, recorder: Recorder) -> None:
    impatient = TriggerClient(recorder.address, deadline=0.3)
    job_id = new_id()
    await add(runner_db, event(job_id, "RUNNING"))
    recorder.gate.clear()
    assert (await deliver_outbox(runner_db, impatient)).away == 1
    recorder.gate.set()
    assert len((await deliver_outbox(runner_db, impatient)).taken) == 1
    assert recorder.told[-1] == (job_id, "RUNNING")
    await impatient.close()


async def test_a_replica_that_died_while_telling_is_followed_by_another(
    runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    job_id = new_id()
    await add(runner_db, event(job_id, "RUNNING"))
    async with runner_db.connection() as connection:
        assert len(await outbox.lease_outbox(connection, 10, LEASE)) == 1
        assert await outbox.lease_outbox(connection, 10, LEASE) == []
        await set_clock_offset(connection, "runner", LEASE + timedelta(seconds=1))
    assert len((await deliver_outbox(runner_db, client)).taken) == 1


@pytest.mark.parametrize("error", [InvalidArgument("bad name"), FailedPrecondition("experiment is closed")])
async def test_a_refused_event_holds_back_no_other_and_stays_for_people_to_see(
    runner_db: Database, client: TriggerClient, recorder: Recorder, error: WakepointError
) -> None:
    bad, good = new_id(), new_id()
    recorder.refusal = lambda event: error if event.job_id == bad and event.status == "LAUNCHING" else None
    async with delivering(runner_db, client) as hub:
        for status in STATUSES:
            await add(runner_db, event(bad, status), event(good, status))
        hub.outbox_grew()

        async def delivered() -> bool:
            return await left(runner_db) == [(bad, True)]

        await eventually(delivered)
    assert [status for job_id, status in recorder.told if job_id == good] == list(STATUSES)
    assert [status for job_id, status in recorder.told if job_id == bad] == ["RUNNING", "COMPLETE"]
    async with runner_db.connection() as connection:
        text = await connection.fetchval("select last_error from runner.outbox")
        assert text == f"{error.reason}: {error.message}"
        # A month later the next refusal takes it along.
        await set_clock_offset(connection, "runner", timedelta(days=31))
    await add(runner_db, event(bad, "LAUNCHING"))
    await deliver_outbox(runner_db, client)
    assert await left(runner_db) == [(bad, True)]


async def test_an_event_that_trigger_service_failed_on_is_tried_again(
    runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    bad, good = new_id(), new_id()
    broken = {bad}
    recorder.refusal = lambda event: Status(code=13, message="internal error") if event.job_id in broken else None
    await add(runner_db, event(bad, "RUNNING"), event(good, "RUNNING"))
    async with delivering(runner_db, client):
        await eventually(lambda: recorder.told == [(good, "RUNNING")])

        async def postponed() -> bool:
            return await left(runner_db) == [(bad, False)]

        await eventually(postponed)
        broken.clear()
        await emptied(runner_db)


async def test_a_batch_that_is_refused_as_a_whole_is_halved_until_the_culprit_is_found(
    runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    bad, *good = [new_id() for _ in range(9)]
    recorder.whole = lambda ids: InvalidArgument("cannot be read") if bad in ids else None
    await add(runner_db, *(event(job_id, "RUNNING") for job_id in (*good[:4], bad, *good[4:])))
    delivery = await deliver_outbox(runner_db, client)
    assert len(delivery.taken) == 8
    assert await left(runner_db) == [(bad, True)]
    assert {job_id for job_id, _ in recorder.told} == set(good)


async def test_what_cannot_even_be_written_as_a_message_is_refused_alone(
    runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    good, bad, odd = new_id(), new_id(), new_id()
    broken = event(bad, "RUNNING")
    wrong = OutboxEntry(RUN_STATE, {"firing_id": odd, "run_id": odd, "state": "PUZZLED"})
    await add(runner_db, broken, wrong, event(good, "RUNNING"))
    async with runner_db.connection() as connection:
        await connection.execute(
            "update runner.outbox set payload = payload - 'status' where payload ->> 'job_id' = $1", bad
        )
    await deliver_outbox(runner_db, client)
    assert await left(runner_db) == [(bad, True), (odd, True)]
    assert recorder.told == [(good, "RUNNING")]


async def test_large_events_travel_in_several_messages(
    runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    jobs = [new_id() for _ in range(40)]
    await add(runner_db, *(event(job_id, "COMPLETE", {"x": "y" * 190_000}) for job_id in jobs))
    assert len((await deliver_outbox(runner_db, client)).taken) == 40
    assert recorder.calls == 4
    assert [job_id for job_id, _ in recorder.told] == jobs


async def test_delivery_goes_on_once_the_database_is_back(
    runner_dsn: str, runner_db: Database, client: TriggerClient, recorder: Recorder
) -> None:
    async with proxied(runner_dsn) as proxy:
        database = await Database.open(proxy.dsn, application_name="test")
        async with delivering(database, client) as hub:
            proxy.cut()
            await add(runner_db, event(new_id(), "RUNNING"))
            hub.outbox_grew()
            await asyncio.sleep(0.3)
            assert recorder.told == []
            proxy.mend()
            await emptied(runner_db)
        await database.close()
    assert len(recorder.told) == 1


async def test_states_of_fired_runs_are_told_and_of_others_not(
    runner_db: Database, runner_dsn: str, tmp_path: Path, client: TriggerClient, recorder: Recorder
) -> None:
    waiting = chain(node("m", "Manual", inactivity_timeout_seconds=0))
    async with runner_on(runner_db, runner_dsn, tmp_path) as runner:
        runs = {}
        for state, graph in (
            (RunState.COMPLETED, chain(node("c", "Constant", value=1))),
            (RunState.FAILED, chain(node("e", "Expression", expression="1 / 0"))),
            (RunState.CANCELLED, waiting),
        ):
            firing_id = new_id()
            runs[firing_id] = (await runner.start(graph, source={"firing_id": firing_id}), state)
        unfired = await runner.start(chain(node("c", "Constant", value=1)))
        cancelled = next(run_id for run_id, state in runs.values() if state is RunState.CANCELLED)
        await runner.until(cancelled, RunState.SUSPENDED)
        await cancel_run(runner.database, runner.hub, cancelled, "enough", None)
        for run_id, state in [*runs.values(), (unfired, RunState.COMPLETED)]:
            await runner.until(run_id, state)
        await eventually(lambda: len(runner.trigger.states) == 3)
        await client.report_run_states(runner.trigger.states)
    told = {one.firing_id: (one.run_id, one.state) for one in recorder.states}
    assert told == {firing: (run_id, _wire(state)) for firing, (run_id, state) in runs.items()}
    assert all(one.HasField("end_time") for one in recorder.states)


def _wire(state: RunState) -> int:
    return Wire.Value(f"RUN_STATE_{state}")


async def test_a_real_runner_tells_a_jobs_life_although_it_is_killed_on_the_way(
    runner_db: Database, runner_dsn: str, tmp_path: Path, recorder: Recorder
) -> None:
    async with runner_on(runner_db, runner_dsn, tmp_path, claiming=False) as runner:
        point = {"WAKEPOINT_FAILPOINT": "runner.outbox.sent"}
        async with running(tmp_path, runner_dsn, trigger=recorder.address, **point) as process:
            run_id = await runner.start(script(writing("1")))
            await killed(process)
        async with running(tmp_path, runner_dsn, trigger=recorder.address):
            await runner.until(run_id, RunState.COMPLETED, seconds=30)
            # What was told when it was killed is leased for as long as a living replica could take.
            async with runner_db.connection() as connection:
                await set_clock_offset(connection, "runner", LEASE)
            await emptied(runner_db)
    statuses = [status for _, status in recorder.told]
    assert statuses[0] == "LAUNCHING"
    assert sorted(set(statuses), key=statuses.index) == list(STATUSES)
    assert len({event.event_id for event in recorder.events}) == 3


async def test_the_jobs_of_a_cancelled_run_are_told_as_stopped(
    runner_db: Database, runner_dsn: str, tmp_path: Path, recorder: Recorder
) -> None:
    async with (
        runner_on(runner_db, runner_dsn, tmp_path, claiming=False) as runner,
        running(tmp_path, runner_dsn, trigger=recorder.address),
    ):
        run_id = await runner.start(script(GRANDCHILD))
        job_id = await up(runner, tmp_path / "jobs", run_id)
        await cancel_run(runner.database, runner.hub, run_id, "enough", None)
        await eventually(lambda: len(recorder.told) == 3)
    assert recorder.told == [(job_id, status) for status in ("LAUNCHING", "RUNNING", "STOPPED")]
