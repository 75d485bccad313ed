"""Jobs that promised to be heard of: lost once, never too early, never against a report that came in time."""

import asyncio
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.integration.trigger.harness import Harness, configs, event, faults_of, graph
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import running
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from trigger_service.dispatcher.sweeper import Sweeper
from trigger_service.usecases.lose_silent_jobs import database_time, lose_silent_jobs
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.protojson import struct_to_python
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

TIMEOUT = Duration(seconds=30)
BOTH = {"on_statuses": ["COMPLETE", "FAILED"]}


async def beat(service: Harness, **given: Any) -> calls.ReportJobEventResponse:
    return await service.report(**{"status": "RUNNING", "heartbeat_timeout": TIMEOUT, **given})


async def at(service: Harness, seconds: float) -> None:
    async with service.database.connection() as connection:
        await set_clock_offset(connection, "trigger", timedelta(seconds=seconds))


async def status(service: Harness) -> str:
    return str(await service.value("select status from trigger.jobs"))


async def test_a_job_that_is_silent_for_longer_than_it_promised_is_failed_and_lost_once(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={**BOTH, "condition": "job.attributes.reason == 'LOST'"})
    await beat(service, attributes={"a": 1}, causation=messages.Causation(run_id="r", depth=3))
    since = await database_time(service.env)
    await at(service, 29)
    assert await lose_silent_jobs(service.env, since) == 0
    await at(service, 31)
    assert sum(await asyncio.gather(*(lose_silent_jobs(service.env, since) for _ in range(4)))) >= 1
    assert await lose_silent_jobs(service.env, since) == 0
    assert len(await service.firings(workflow_id)) == 1
    row = "select array[status, attributes ->> 'a', attributes ->> 'reason'] from trigger.jobs"
    assert await service.value(row) == ["FAILED", "1", "LOST"]
    # A workflow that its own job's loss would start counts the runs before it.
    assert await service.value("select depth from trigger.firings") == 3


async def test_each_report_of_running_is_a_heartbeat_although_it_is_a_duplicate(service: Harness) -> None:
    await beat(service)
    since = await database_time(service.env)
    for seconds in (20, 40, 60):
        await at(service, seconds)
        repeated = await service.report(status="RUNNING")
        assert repeated.disposition == messages.REPORT_DISPOSITION_DUPLICATE
        assert await lose_silent_jobs(service.env, since) == 0
    await at(service, 91)
    await lose_silent_jobs(service.env, since)
    assert await status(service) == "FAILED"


async def test_a_job_that_ended_in_time_is_not_lost(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN=BOTH)
    await beat(service)
    await service.report()
    # A heartbeat that was under way when the job ended does not start a new one.
    await beat(service)
    since = await database_time(service.env)
    await at(service, 100)
    await lose_silent_jobs(service.env, since)
    assert await status(service) == "COMPLETE"
    assert len(await service.firings(workflow_id)) == 1
    assert await service.value("select count(*) from trigger.heartbeats") == 0


async def test_a_job_that_ended_by_sql_is_not_lost(service: Harness) -> None:
    await beat(service)
    await service.execute("update trigger.jobs set status = 'STOPPED'")
    since = await database_time(service.env)
    await at(service, 100)
    await lose_silent_jobs(service.env, since)
    assert await status(service) == "STOPPED"
    assert await service.value("select count(*) from trigger.job_events where status = 'FAILED'") == 0


async def test_without_a_timeout_nothing_is_ever_lost(service: Harness) -> None:
    await service.report(status="RUNNING")
    since = await database_time(service.env)
    await at(service, 1e7)
    assert await lose_silent_jobs(service.env, since) == 0


async def waits_for_a_lock(service: Harness) -> bool:
    found = await service.value(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    return bool(found)


@pytest.mark.parametrize(
    ("rescue", "stands"),
    [
        ("update trigger.jobs set status = 'COMPLETE'", "COMPLETE"),
        ("update trigger.heartbeats set heard_time = trigger.stamp(), due_time = trigger.stamp() + '30s'", "RUNNING"),
    ],
)
async def test_a_report_that_is_being_written_when_the_job_is_given_up_wins(
    service: Harness, rescue: str, stands: str
) -> None:
    """The race by hand: the completion, or the heartbeat, is written and not committed when the job is found silent."""
    workflow_id = await service.workflow(TRAIN={"on_statuses": ["FAILED"]})
    await beat(service)
    since = await database_time(service.env)
    await at(service, 31)
    async with service.database.transaction() as reporter:
        await reporter.execute(rescue)
        losing = asyncio.create_task(lose_silent_jobs(service.env, since))
        await eventually(lambda: waits_for_a_lock(service))
    assert await losing == 0
    assert await status(service) == stands
    assert list(await service.firings(workflow_id)) == []
    assert await service.value("select count(*) from trigger.job_events where status = 'FAILED'") == 0


async def test_completions_and_heartbeats_at_the_very_moment_of_the_loss_leave_one_truth(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN=BOTH)
    jobs = [f"j{number}" for number in range(12)]
    await asyncio.gather(*(beat(service, job_id=job) for job in jobs))
    since = await database_time(service.env)
    await at(service, 31)
    await asyncio.gather(
        *(service.report(job_id=job) for job in jobs[:6]),
        *(beat(service, job_id=job) for job in jobs[6:]),
        *(lose_silent_jobs(service.env, since) for _ in range(3)),
    )
    await at(service, 70)
    while await lose_silent_jobs(service.env, since):
        pass
    found = await service.value("select jsonb_object_agg(job_id, status) from trigger.jobs")
    assert [found[job] for job in jobs] == ["COMPLETE"] * 6 + ["FAILED"] * 6
    lost = await service.value("select count(*) from trigger.job_events where status = 'FAILED'")
    assert len(await service.firings(workflow_id)) == 6 + lost
    assert await service.value("select count(*) from trigger.heartbeats") == 0


async def test_silence_while_nobody_could_listen_proves_nothing(service: Harness) -> None:
    """After an outage of the service every job has a whole timeout to be heard again."""
    clock = ManualClock()
    await beat(service)
    await at(service, 1_000)
    sweeper = Sweeper(service.env, clock)
    await sweeper.sweep_once()
    assert await status(service) == "RUNNING"
    await at(service, 1_029)
    await clock.advance(60)  # the process stood still for a minute: it was deaf again
    await sweeper.sweep_once()
    await at(service, 1_050)
    await clock.advance(1)
    await sweeper.sweep_once()
    assert await status(service) == "RUNNING"
    await at(service, 1_060)
    await sweeper.sweep_once()
    assert await status(service) == "FAILED"


async def test_a_job_whose_attributes_leave_no_room_is_lost_all_the_same(service: Harness) -> None:
    await beat(service)
    await service.execute("update trigger.jobs set attributes = $1", {"x": "y" * 300_000})
    since = await database_time(service.env)
    await at(service, 31)
    assert await lose_silent_jobs(service.env, since) == 1
    assert await service.value("select attributes from trigger.job_events where status = 'FAILED'") == {
        "reason": "LOST"
    }


async def test_a_timeout_that_is_no_time_is_refused(service: Harness) -> None:
    for seconds in (0, -1):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await beat(service, heartbeat_timeout=Duration(seconds=seconds))
        assert [field for field, _ in faults_of(refused.value)] == ["event.heartbeat_timeout"]


@pytest.mark.parametrize("failpoint", ["trigger.lost.before_commit", "trigger.lost.after_commit"])
async def test_a_kill_while_a_job_is_given_up_loses_it_once(
    tmp_path: Path, trigger_dsn: str, peer: Peer, failpoint: str
) -> None:
    request = calls.ReportJobEventRequest(event=event(status="RUNNING", heartbeat_timeout=Duration(nanos=200_000_000)))
    async with running(tmp_path, trigger_dsn, peer.address, WAKEPOINT_FAILPOINT=failpoint) as doomed:
        await doomed.stub.CreateWorkflow(
            calls.CreateWorkflowRequest(
                experiment_id="e1", name="w", graph=graph(), trigger_configs=configs(TRAIN=BOTH)
            )
        )
        await doomed.stub.ReportJobEvent(request)
        assert await doomed.ended() == -signal.SIGKILL
    (tmp_path / "b").mkdir()
    async with running(tmp_path, trigger_dsn, peer.address), running(tmp_path / "b", trigger_dsn, peer.address):
        await eventually(lambda: len(peer.runs) == 1, timeout=20)
    assert peer.sent == 1
    [sent] = peer.requests.values()
    assert struct_to_python(sent.input)["job"]["status"] == "FAILED"  # type: ignore[index]
