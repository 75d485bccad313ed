"""What is old is removed, what is not final never, and what was removed is still recognised."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from tests.integration.trigger.harness import FAST, Harness
from tests.support.db_clock import set_clock_offset
from trigger_service.dispatcher.upkeep import upkeep
from trigger_service.settings import Settings
from trigger_service.storage.firings import RunResult
from trigger_service.usecases.report_run_states import report_run_states
from trigger_service.usecases.retain import Ages, retain
from trigger_service.usecases.sweep_written_jobs import sweep_written_jobs
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.tasks import Poke
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

DUPLICATE = messages.REPORT_DISPOSITION_DUPLICATE
ACCEPTED = messages.REPORT_DISPOSITION_ACCEPTED


async def at(service: Harness, days: float) -> None:
    async with service.database.connection() as connection:
        await set_clock_offset(connection, "trigger", timedelta(days=days))


async def finish(service: Harness, firing_id: str) -> None:
    result = RunResult(UUID(firing_id), "r", "COMPLETED", None, 1)
    await report_run_states(service.env, [result])


async def fired_and_finished(service: Harness, job_id: str) -> str:
    answer = await service.report(job_id=job_id, attributes={"secret": 1})
    while await service.dispatcher().dispatch_once():
        pass
    for firing in answer.firings:
        await finish(service, firing.firing_id)
    return answer.event_id


async def test_a_purged_event_is_still_a_duplicate_that_says_so_until_its_key_is_forgotten(service: Harness) -> None:
    await service.workflow(TRAIN={})
    event_id = await fired_and_finished(service, "j1")
    await at(service, 29)
    await retain(service.database, Ages())
    assert len((await service.report()).firings) == 1
    await at(service, 31)
    await retain(service.database, Ages())
    again = await service.report()
    assert (again.disposition, again.event_id, again.firings_purged) == (DUPLICATE, event_id, True)
    assert list(again.firings) == []
    assert await service.value("select count(*) from trigger.firings") == 0
    assert await service.value("select attributes from trigger.job_events") == {}
    await at(service, 181)
    await retain(service.database, Ages())
    assert await service.value("select count(*) from trigger.job_events") == 0
    assert (await service.report()).disposition == ACCEPTED


@pytest.mark.parametrize("state", ["QUEUED", "DISPATCHING", "RETRYING", "HELD", "DISPATCHED"])
async def test_what_is_not_final_is_never_removed_and_holds_up_nothing_else(service: Harness, state: str) -> None:
    """DISPATCHED: its run has not ended."""
    await service.workflow(TRAIN={})
    for number in range(5):
        await fired_and_finished(service, f"done{number}")
    await service.report(job_id="open", attributes={"a": 1})
    for number in range(5):
        await fired_and_finished(service, f"later{number}")
    await service.execute(
        "update trigger.firings set state = $1, run_id = 'r', run_end_time = null where event_key = "
        "(select event_key from trigger.job_events where job_id = 'open')",
        state,
    )
    await at(service, 1_000)
    await retain(service.database, Ages(), batch=2)
    assert await service.value("select array_agg(job_id) from trigger.job_events where purge_time is null") == ["open"]
    assert await service.value("select attributes from trigger.job_events where job_id = 'open'") == {"a": 1}
    assert await service.value("select array_agg(state) from trigger.firings") == [state]


async def test_a_firing_asked_for_by_hand_goes_when_its_run_has_ended(service: Harness) -> None:
    workflow_id = await service.workflow()
    firings = [
        await service.stub.RunWorkflow(calls.RunWorkflowRequest(workflow_id=workflow_id, request_id=f"r{number}"))
        for number in range(3)
    ]
    while await service.dispatcher(FAST).dispatch_once():
        pass
    await finish(service, firings[1].firing_id)
    await at(service, 31)
    await retain(service.database, Ages(), batch=1)
    left = await service.firings(workflow_id)
    assert {firing.firing_id for firing in left} == {firings[0].firing_id, firings[2].firing_id}


async def test_request_ids_are_kept_for_thirty_days(service: Harness) -> None:
    workflow_id = await service.workflow()
    request = calls.RunWorkflowRequest(workflow_id=workflow_id, request_id="r")
    first = await service.stub.RunWorkflow(request)
    await at(service, 29.9)
    await retain(service.database, Ages())
    assert (await service.stub.RunWorkflow(request)).firing_id == first.firing_id
    await at(service, 30.1)
    await retain(service.database, Ages())
    assert (await service.stub.RunWorkflow(request)).firing_id != first.firing_id


async def test_replicas_that_purge_at_once_remove_everything_once(service: Harness) -> None:
    await service.workflow(TRAIN={})
    for number in range(12):
        await fired_and_finished(service, f"j{number}")
    await at(service, 31)
    await asyncio.gather(*(retain(service.database, Ages(), batch=3) for _ in range(3)))
    # A batch that another replica was at is passed over, and met again on the next walk.
    await retain(service.database, Ages(), batch=3)
    assert await service.value("select count(*) from trigger.job_events where purge_time is null") == 0
    assert await service.value("select count(*) from trigger.firings") == 0


async def test_rows_that_could_not_be_events_go_with_the_history(service: Harness) -> None:
    await service.execute(
        "insert into trigger.jobs (experiment_id, job_id, job_type, job_name, status) "
        "values ('e1', 'j1', 'TRAIN', repeat('x', 5000), 'COMPLETE')"
    )
    await sweep_written_jobs(service.env)
    await retain(service.database, Ages())
    assert await service.value("select count(*) from trigger.written_jobs") == 1
    await at(service, 31)
    await retain(service.database, Ages())
    assert await service.value("select count(*) from trigger.written_jobs") == 0


async def test_keys_that_would_be_forgotten_before_the_history_are_refused(service: Harness) -> None:
    settings = Settings.model_validate(
        {"database_url": "postgresql://x/y", "keep_history_days": 30, "keep_keys_days": 29}
    )
    with pytest.raises(InvalidArgument, match="TRIGGER_KEEP_KEYS_DAYS"):
        list(upkeep(settings, service.env, service.runner, Poke(), ManualClock()))
