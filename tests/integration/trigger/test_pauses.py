"""PauseTriggers and ResumeTriggers: what is held, what is dropped, what is released, and in which order."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest

from tests.integration.trigger.harness import Harness, configs, event
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.test_options import at, debounce, decisions, release, report, seconds
from tests.support.conditions import eventually
from trigger_service.domain.events import JobEvent
from trigger_service.storage import events as event_store
from trigger_service.storage.events import MatchView
from trigger_service.usecases.report_job_events import record_events
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

HELD, QUEUED = messages.FIRING_STATE_HELD, messages.FIRING_STATE_QUEUED
CANCELLED, DISPATCHED = messages.FIRING_STATE_CANCELLED, messages.FIRING_STATE_DISPATCHED
DROP, HOLD = messages.WHILE_PAUSED_DROP_AND_RECORD, messages.WHILE_PAUSED_HOLD


async def pause(service: Harness, **scope: Any) -> list[str]:
    """The ids of what the pause holds."""
    answer = await service.stub.PauseTriggers(calls.PauseTriggersRequest(**scope))
    return [firing.firing_id for firing in answer.will_release]


async def resume(service: Harness, **scope: Any) -> list[str]:
    """The ids of what is, or would be, released."""
    answer = await service.stub.ResumeTriggers(calls.ResumeTriggersRequest(**scope))
    return [firing.firing_id for firing in answer.will_release]


async def states(service: Harness, workflow_id: str = "") -> list[tuple[str, int, str]]:
    """(event, state, held by), oldest first."""
    found = await service.firings(workflow_id, page_size=1_000)
    return [(firing.event_id, firing.state, firing.held_by) for firing in reversed(found)]


async def is_paused(service: Harness, workflow_id: str) -> bool:
    return (await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))).paused


@pytest.mark.parametrize("by_experiment", [False, True])
async def test_a_pause_holds_what_is_queued_and_what_matches_and_its_end_releases_it_in_order(
    service: Harness, peer: Peer, by_experiment: bool
) -> None:
    workflow_id = await service.workflow(TRAIN={})
    scope = {"experiment_id": "e1"} if by_experiment else {"workflow_id": workflow_id}
    [before] = (await report(service, "a")).firings
    assert await pause(service, **scope) == [before.firing_id]
    assert await is_paused(service, workflow_id)
    [during] = (await report(service, "b")).firings
    assert (during.state, during.held_by) == (HELD, "PAUSE")
    expected = [before.firing_id, during.firing_id]
    assert await pause(service, **scope) == expected
    await service.dispatcher().dispatch_once()
    await release(service)
    assert peer.sent == 0
    assert await resume(service, **scope, dry_run=True) == expected
    assert await states(service) == [("a", HELD, "PAUSE"), ("b", HELD, "PAUSE")]
    assert await is_paused(service, workflow_id)
    assert await resume(service, **scope) == expected
    assert not await is_paused(service, workflow_id)
    await service.dispatcher().dispatch_once()
    assert [request.request_id for batch in peer.batches for request in batch.requests] == expected
    assert await decisions(service) == [("b", "PAUSED")]
    assert await resume(service, **scope) == []


async def test_dropped_matches_never_fire_and_say_so(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await pause(service, workflow_id=workflow_id, while_paused=DROP)
    assert not (await report(service, "a")).firings
    await resume(service, workflow_id=workflow_id)
    await report(service, "b")
    assert await states(service) == [("b", QUEUED, "")]
    assert await decisions(service) == [("a", "PAUSED")]


async def test_a_config_says_what_becomes_of_its_matches_whatever_the_pause_says(service: Harness) -> None:
    dropping = await service.workflow(name="drop", TRAIN={"while_paused": DROP})
    holding = await service.workflow(name="hold", TRAIN={"while_paused": HOLD})
    silent = await service.workflow(name="silent", TRAIN={})
    await pause(service, experiment_id="e1")
    await report(service, "a")
    await pause(service, experiment_id="e1", while_paused=DROP)
    await report(service, "b")
    assert await states(service, dropping) == []
    assert await states(service, holding) == [("a", HELD, "PAUSE"), ("b", HELD, "PAUSE")]
    assert await states(service, silent) == [("a", HELD, "PAUSE")]


async def test_a_paused_experiment_holds_workflows_that_are_created_later_and_no_other_experiments(
    service: Harness,
) -> None:
    elsewhere = await service.workflow(experiment_id="e2", TRAIN={"source_experiment_ids": ["e1"]})
    await pause(service, experiment_id="e1")
    later = await service.workflow(TRAIN={})
    await report(service, "a")
    assert await states(service, later) == [("a", HELD, "PAUSE")]
    assert await states(service, elsewhere) == [("a", QUEUED, "")]


async def test_what_two_pauses_hold_is_released_when_both_have_ended(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await pause(service, workflow_id=workflow_id)
    await pause(service, experiment_id="e1")
    await report(service, "a")
    assert await resume(service, experiment_id="e1") == []
    assert await states(service) == [("a", HELD, "PAUSE")]
    assert len(await resume(service, workflow_id=workflow_id)) == 1


async def test_a_firing_whose_config_is_off_when_the_pause_ends_is_cancelled_with_that_reason(
    service: Harness,
) -> None:
    workflow_id = await service.workflow(TRAIN={}, EVAL={})
    await pause(service, workflow_id=workflow_id)
    await report(service, "a")
    await report(service, "b", job_type="EVAL")
    await service.stub.UpdateTriggerConfigs(
        calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs(EVAL={}))
    )
    assert len(await resume(service, workflow_id=workflow_id)) == 1
    assert await states(service) == [("a", CANCELLED, ""), ("b", QUEUED, "")]
    reasons = [firing.last_error for firing in await service.firings()]
    assert reasons == ["", "the trigger was off when the firing was to be released"]


async def test_disabling_stops_new_matches_only(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await report(service, "a")
    await service.stub.UpdateTriggerConfigs(
        calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs())
    )
    await report(service, "b")
    await service.dispatcher().dispatch_once()
    assert await states(service) == [("a", DISPATCHED, "")]


async def test_a_delay_or_a_burst_that_ends_during_a_pause_is_held_on_until_the_pause_ends(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={"delay": seconds(60)}, EVAL={"debounce": debounce(60)})
    await pause(service, workflow_id=workflow_id)
    await report(service, "a")
    await report(service, "b", job_type="EVAL")
    assert [held_by for _, _, held_by in await states(service)] == ["DELAY", "DEBOUNCE"]
    assert await resume(service, workflow_id=workflow_id, dry_run=True) == []
    await at(service, 61)
    await release(service)
    assert [held_by for _, _, held_by in await states(service)] == ["PAUSE", "PAUSE"]
    assert len(await resume(service, workflow_id=workflow_id)) == 2


async def test_a_limit_is_used_up_by_held_matches_and_not_by_dropped_ones(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={"max_firings": 2})
    await pause(service, workflow_id=workflow_id, while_paused=DROP)
    await report(service, "a")
    await pause(service, workflow_id=workflow_id)
    for name in "bcd":
        await report(service, name)
    assert await states(service) == [("b", HELD, "PAUSE"), ("c", HELD, "PAUSE")]
    assert [verdict for _, verdict in await decisions(service)] == ["PAUSED", "PAUSED", "PAUSED", "LIMIT_REACHED"]


async def test_what_is_run_by_hand_goes_out_during_a_pause(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await pause(service, experiment_id="e1")
    await service.stub.RunWorkflow(calls.RunWorkflowRequest(workflow_id=workflow_id))
    await service.dispatcher().dispatch_once()
    assert peer.sent == 1


async def test_a_match_that_commits_after_a_pause_began_is_held_by_the_dispatcher(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    await report(service, "a")
    await service.execute("update trigger.workflows set paused = true")
    await service.dispatcher().dispatch_once()
    assert await states(service) == [("a", HELD, "PAUSE")]
    assert peer.sent == 0


async def test_a_match_that_read_a_pause_and_commits_after_its_end_is_not_left_behind(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await pause(service, workflow_id=workflow_id)
    read, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow_view(connection: Any, events: Any) -> MatchView:
        view = await event_store.match_view(connection, events)
        read.set()
        await may_go_on.wait()
        return view

    async def report_slowly() -> None:
        given = JobEvent(experiment_id="e1", job_id="slow", job_type="TRAIN", status="COMPLETE")
        async with service.database.transaction() as connection:
            await record_events(service.env, connection, [given], slow_view)

    reporting = asyncio.create_task(report_slowly())
    await read.wait()
    assert await resume(service, workflow_id=workflow_id) == []
    may_go_on.set()
    await reporting
    assert [(state, held_by) for _, state, held_by in await states(service)] == [(HELD, "PAUSE")]
    await release(service)
    assert [(state, held_by) for _, state, held_by in await states(service)] == [(QUEUED, "")]


async def test_two_thousand_held_firings_go_on_in_order_and_a_thousand_are_shown(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await pause(service, workflow_id=workflow_id)
    for turn in range(2):
        events = [event(job_id=f"j{turn}-{number}") for number in range(1_000)]
        await service.stub.BatchReportJobEvents(calls.BatchReportJobEventsRequest(events=events))
    assert len(await resume(service, workflow_id=workflow_id)) == 1_000
    in_order = await service.value(
        "select array_agg(firing_id order by next_attempt_time, firing_id) = array_agg(firing_id order by firing_id) "
        "and bool_and(state = 'QUEUED') from trigger.firings"
    )
    assert in_order


async def test_pausing_and_reporting_at_once_loses_and_repeats_nothing(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    dispatchers = [service.dispatcher(), service.dispatcher()]

    async def reporting(number: int) -> None:
        for turn in range(10):
            await report(service, f"j{number}-{turn}")

    async def pausing() -> None:
        for _ in range(10):
            await pause(service, experiment_id="e1")
            await resume(service, experiment_id="e1")

    async def dispatching() -> None:
        for _ in range(10):
            await asyncio.gather(*(dispatcher.dispatch_once() for dispatcher in dispatchers))

    await asyncio.gather(pausing(), dispatching(), *(reporting(number) for number in range(6)))

    async def all_gone() -> bool:
        await release(service)
        await dispatchers[0].dispatch_once()
        return len(peer.runs) == 60

    await eventually(all_gone)
    assert peer.sent == 60


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ({}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"workflow_id": "nonsense"}, grpc.StatusCode.NOT_FOUND),
        ({"workflow_id": "018f0000-0000-7000-8000-000000000000"}, grpc.StatusCode.NOT_FOUND),
        ({"experiment_id": "x" * 256}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"experiment_id": "a\x00b"}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_scope_that_names_nothing_is_refused(
    service: Harness, scope: dict[str, str], code: grpc.StatusCode
) -> None:
    for call in (pause, resume):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(service, **scope)
        assert refused.value.code() == code


async def test_a_workflow_of_another_experiment_can_be_neither_paused_nor_resumed(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    for call in (pause, resume):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(service, workflow_id=workflow_id, experiment_id="e2")
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert not await is_paused(service, workflow_id)


async def test_a_retry_that_was_under_way_waits_for_its_time_also_after_the_pause(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    await report(service, "a")
    await service.execute(
        "update trigger.firings set state = 'RETRYING', next_attempt_time = trigger.stamp() + $1", timedelta(seconds=60)
    )
    await pause(service, experiment_id="e1")
    await resume(service, experiment_id="e1")
    await service.dispatcher().dispatch_once()
    assert peer.sent == 0
    await at(service, 61)
    await service.dispatcher().dispatch_once()
    assert peer.sent == 1
