"""Every accepted job event is told to the runner at least once, whoever is away or dies meanwhile."""

import asyncio
import random
import signal
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from google.rpc.status_pb2 import Status

from tests.integration.trigger.harness import Harness, event
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import running
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from trigger_service.dispatcher.deliverer import Deliverer
from trigger_service.domain.deliveries import Delivery, Told
from trigger_service.usecases.retain import Ages, retain
from trigger_service.usecases.sweep_written_jobs import sweep_written_jobs
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.protojson import struct_to_python
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

PENDING = "select count(*) from trigger.deliveries"


def deliverer(service: Harness, clock: ManualClock | None = None, batch: int = 500) -> Deliverer:
    return Deliverer(
        service.database,
        service.runner,
        clock or ManualClock(),
        random.Random(7),
        lease=timedelta(seconds=10),
        batch=batch,
    )


def told_jobs(peer: Peer) -> list[str]:
    return [item.job_id for batch in peer.told for item in batch]


async def test_an_accepted_event_is_told_once_and_whole(service: Harness) -> None:
    cause = messages.Causation(run_id="r", depth=2)
    answer = await service.report(attributes={"a": 1}, job_name="n", event_id="ev", source="s", causation=cause)
    await service.report(attributes={"a": 1}, job_name="n", event_id="ev", source="s", causation=cause)
    loop = deliverer(service)
    assert not await loop.deliver_once()
    assert not await loop.deliver_once()
    [[told]] = service.peer.told
    assert (told.event_id, told.source, told.job_name, told.status) == (answer.event_id, "s", "n", "COMPLETE")
    assert struct_to_python(told.attributes) == {"a": 1}
    assert told.causation == cause
    assert told.HasField("occur_time")
    assert await service.value(PENDING) == 0


async def test_what_is_written_by_sql_or_lost_is_told_too(service: Harness) -> None:
    await service.execute(
        "insert into trigger.jobs (experiment_id, job_id, job_type, status) values ('e1', 'sql', 'TRAIN', 'RUNNING')"
    )
    await sweep_written_jobs(service.env)
    await deliverer(service).deliver_once()
    assert told_jobs(service.peer) == ["sql"]


@pytest.mark.parametrize("how", ["unimplemented", "away"])
async def test_a_runner_that_takes_no_events_is_away_until_it_does_and_loses_none(service: Harness, how: str) -> None:
    clock = ManualClock()
    loop = deliverer(service, clock)
    for number in range(5):
        await service.report(job_id=f"j{number}")
    if how == "unimplemented":
        service.peer.takes_events = False
    else:
        await service.peer.go_away()
    assert not await loop.deliver_once()
    assert loop.runner_is_away
    assert not await loop.deliver_once()  # given a pause: not asked again at once
    service.peer.takes_events = True
    if how == "away":
        await service.peer.come()

    async def all_told() -> bool:
        await clock.advance(20)
        await loop.deliver_once()
        return sorted(told_jobs(service.peer)) == [f"j{number}" for number in range(5)]

    await eventually(all_told)
    assert not loop.runner_is_away
    assert await service.value(PENDING) == 0


async def test_an_event_that_is_refused_for_good_is_told_no_more_and_one_that_failed_later(service: Harness) -> None:
    for job in ("bad", "busy", "fine"):
        await service.report(job_id=job)
    codes = {"bad": grpc.StatusCode.INVALID_ARGUMENT.value[0], "busy": grpc.StatusCode.INTERNAL.value[0]}
    service.peer.event_refusal = lambda item: Status(code=codes[item.job_id]) if item.job_id in codes else None
    await deliverer(service).deliver_once()
    left = "select array_agg(job_id) from trigger.deliveries join trigger.job_events using (event_key)"
    assert await service.value(left) == ["busy"]
    assert not await deliverer(service).deliver_once()
    codes.clear()
    async with service.database.connection() as connection:
        await set_clock_offset(connection, "trigger", timedelta(minutes=10))
    await deliverer(service).deliver_once()
    assert told_jobs(service.peer)[-1] == "busy"
    assert await service.value(PENDING) == 0


async def test_several_deliverers_share_the_events(service: Harness) -> None:
    for number in range(30):
        await service.report(job_id=f"j{number}")

    async def work(loop: Deliverer) -> None:
        while await loop.deliver_once():
            pass

    await asyncio.gather(*(work(deliverer(service, batch=4)) for _ in range(3)))
    assert sorted(told_jobs(service.peer)) == sorted(f"j{number}" for number in range(30))


async def test_what_a_dead_deliverer_held_is_told_again_after_its_lease(service: Harness) -> None:
    class Dies:
        async def deliver_job_events(self, _events: Sequence[Delivery]) -> list[Told]:
            raise RuntimeError("killed")

    await service.report()
    doomed = Deliverer(service.database, Dies(), ManualClock(), random.Random(7), lease=timedelta(seconds=10))
    with pytest.raises(RuntimeError):
        await doomed.deliver_once()
    await deliverer(service).deliver_once()
    assert service.peer.told == []
    async with service.database.connection() as connection:
        await set_clock_offset(connection, "trigger", timedelta(seconds=11))
    await deliverer(service).deliver_once()
    assert told_jobs(service.peer) == ["j1"]


async def test_large_events_go_in_several_messages(service: Harness) -> None:
    for number in range(12):
        await service.report(job_id=f"j{number}", attributes={"x": "y" * 240_000})
    await deliverer(service).deliver_once()
    assert len(service.peer.told) == 2
    assert len(told_jobs(service.peer)) == 12


async def test_what_nobody_took_for_a_day_is_dropped(service: Harness) -> None:
    await service.report(job_id="old")
    async with service.database.connection() as connection:
        await set_clock_offset(connection, "trigger", timedelta(days=1, seconds=1))
    await service.report(job_id="young")
    await retain(service.database, Ages())
    left = "select array_agg(job_id) from trigger.deliveries join trigger.job_events using (event_key)"
    assert await service.value(left) == ["young"]


@pytest.mark.parametrize("failpoint", ["trigger.deliver.leased", "trigger.deliver.sent"])
async def test_a_kill_while_telling_loses_no_event(
    tmp_path: Path, trigger_dsn: str, peer: Peer, failpoint: str
) -> None:
    async with running(tmp_path, trigger_dsn, peer.address, WAKEPOINT_FAILPOINT=failpoint) as doomed:
        with suppress(grpc.aio.AioRpcError):  # the answer may or may not get out before the end
            await doomed.stub.ReportJobEvent(calls.ReportJobEventRequest(event=event()))
        assert await doomed.ended() == -signal.SIGKILL
    async with running(tmp_path, trigger_dsn, peer.address):
        await eventually(lambda: len(peer.told) == (2 if failpoint.endswith("sent") else 1))
