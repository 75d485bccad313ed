"""Refusals of a workflow's own, five in a row; retrying and cancelling a firing by hand."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from tests.integration.trigger.harness import FAST, Harness, configs, event, reason_of
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.test_options import report, seconds
from tests.support.conditions import eventually
from trigger_service.dispatcher.loop import Dispatcher
from trigger_service.domain.dispatch import Lease, Outcome
from trigger_service.usecases.turn_off_triggers import turn_off_triggers
from wakepoint.runner.v1 import runner_service_pb2 as runner_calls
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

REFUSED = Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message="no")
UNKNOWN = "018f0000-0000-7000-8000-000000000000"
State = messages.FiringState


async def workflow(service: Harness, workflow_id: str) -> messages.Workflow:
    return await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))


async def enable(service: Harness, workflow_id: str, **enabled: dict[str, Any]) -> None:
    await service.stub.UpdateTriggerConfigs(
        calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs(**enabled))
    )


async def states(service: Harness, workflow_id: str = "") -> list[str]:
    found = await service.firings(workflow_id, page_size=1_000)
    return [State.Name(firing.state).removeprefix("FIRING_STATE_") for firing in reversed(found)]


async def report_many(service: Harness, count: int, prefix: str = "j") -> None:
    events = [event(job_id=f"{prefix}{number}") for number in range(count)]
    await service.stub.BatchReportJobEvents(calls.BatchReportJobEventsRequest(events=events))


async def until(service: Harness, dispatcher: Dispatcher, *expected: str) -> None:
    async def reached() -> bool:
        await dispatcher.dispatch_once()
        return await states(service) == list(expected)

    await eventually(reached)


async def retry(service: Harness, firing_id: str, **more: str) -> messages.Firing:
    return await service.stub.RetryFiring(calls.RetryFiringRequest(firing_id=firing_id, **more))


async def cancel(service: Harness, firing_id: str, **more: str) -> messages.Firing:
    return await service.stub.CancelFiring(calls.CancelFiringRequest(firing_id=firing_id, **more))


async def test_five_refusals_in_a_row_turn_the_triggers_off_and_cancel_what_is_queued(
    service: Harness, peer: Peer
) -> None:
    bad = await service.workflow(name="bad", TRAIN={}, EVAL={"delay": seconds(60)})
    good = await service.workflow(name="good", TRAIN={})
    peer.refusal = lambda request: REFUSED if request.workflow_id == bad else None
    await service.report(job_id="held", job_type="EVAL")
    await report_many(service, 4)
    await service.dispatcher().dispatch_once()
    assert await states(service, bad) == ["HELD", *["RETRYING"] * 4]
    assert not (await workflow(service, bad)).disabled_reason
    await service.report(job_id="fifth")
    await service.dispatcher().dispatch_once()
    off = await workflow(service, bad)
    assert off.disabled_reason.endswith("times in a row: FAILED_PRECONDITION: no")
    assert set(await states(service, bad)) == {"CANCELLED"}
    assert {firing.last_error for firing in await service.firings(bad)} == {off.disabled_reason}
    assert await states(service, good) == ["DISPATCHED"] * 5
    assert [firing.workflow_id for firing in (await service.report(job_id="later")).firings] == [good]


async def test_enabling_clears_the_reason_and_five_more_refusals_are_needed(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    peer.refusal = lambda _request: REFUSED
    await report_many(service, 5)
    await service.dispatcher().dispatch_once()
    assert (await workflow(service, workflow_id)).disabled_reason
    await enable(service, workflow_id)
    assert (await workflow(service, workflow_id)).disabled_reason
    await enable(service, workflow_id, TRAIN={})
    assert not (await workflow(service, workflow_id)).disabled_reason
    await report_many(service, 4, "again")
    await service.dispatcher().dispatch_once()
    assert not (await workflow(service, workflow_id)).disabled_reason


async def test_a_success_in_between_begins_the_count_anew(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    for turn in range(3):
        peer.refusal = lambda _request: REFUSED
        await report_many(service, 4, f"bad{turn}-")
        await service.dispatcher().dispatch_once()
        await service.execute("update trigger.firings set state = 'CANCELLED' where state = 'RETRYING'")
        peer.refusal = lambda _request: None
        await service.report(job_id=f"good{turn}")
        await service.dispatcher().dispatch_once()
    assert not (await workflow(service, workflow_id)).disabled_reason
    assert await service.value("select count(*) from trigger.refusal_counts") == 0


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED])
async def test_other_failures_never_count(service: Harness, peer: Peer, code: grpc.StatusCode) -> None:
    workflow_id = await service.workflow(TRAIN={})
    peer.refusal = lambda _request: Status(code=code.value[0], message="trouble")
    await report_many(service, 9)
    await service.dispatcher().dispatch_once()
    assert await states(service) == ["RETRYING"] * 9
    assert not (await workflow(service, workflow_id)).disabled_reason


async def test_a_runner_that_is_away_never_counts(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await report_many(service, 9)
    await peer.go_away()
    dispatcher = service.dispatcher()
    for _ in range(7):
        await dispatcher.dispatch_once()
    assert await states(service) == ["QUEUED"] * 9
    assert not (await workflow(service, workflow_id)).disabled_reason


async def test_the_count_of_a_dispatcher_that_died_before_turning_off_is_acted_on_by_the_next(
    service: Harness, peer: Peer
) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await service.execute("insert into trigger.refusal_counts values ($1, 5, 'no')", workflow_id)
    await service.dispatcher().sweep()
    assert (await workflow(service, workflow_id)).disabled_reason == "the runner refused it 5 times in a row: no"
    assert await service.value("select count(*) from trigger.refusal_counts") == 0


async def test_refusals_recorded_by_two_dispatchers_at_once_add_up(service: Harness, peer: Peer) -> None:
    for number in range(6):
        await service.workflow(name=f"w{number}", TRAIN={})
    peer.refusal = lambda _request: REFUSED
    await report_many(service, 5)
    both_sent, waiting = asyncio.Event(), 0

    class Meeting:
        async def start_runs(self, leases: Sequence[Lease], graphs: Mapping[str, dict[str, Any]]) -> list[Outcome]:
            nonlocal waiting
            waiting += 1
            if waiting == 2:
                both_sent.set()
            await both_sent.wait()
            return await service.runner.start_runs(leases, graphs)

    half = replace(FAST, batch=15)
    await asyncio.gather(*(service.dispatcher(half, Meeting()).dispatch_once() for _ in range(2)))
    await turn_off_triggers(service.database, 5)
    assert await service.value("select count(*) from trigger.workflows where disabled_reason is not null") == 6


async def test_what_is_run_by_hand_is_not_cancelled_with_the_triggers(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    peer.refusal = lambda request: REFUSED if request.source.trigger_type == "TRAIN" else None
    await report_many(service, 5)
    await service.dispatcher().dispatch_once()
    assert (await workflow(service, workflow_id)).disabled_reason
    await service.stub.RunWorkflow(calls.RunWorkflowRequest(workflow_id=workflow_id))
    await service.dispatcher().dispatch_once()
    assert await states(service) == [*["CANCELLED"] * 5, "DISPATCHED"]


async def test_a_dead_firing_is_retried_once_its_triggers_are_on_again(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    peer.refusal = lambda _request: REFUSED
    [firing] = (await service.report()).firings
    dispatcher = service.dispatcher()
    await until(service, dispatcher, "DEAD")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await retry(service, firing.firing_id)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.FAILED_PRECONDITION, "TRIGGERS_OFF")
    await enable(service, workflow_id, TRAIN={})
    peer.refusal = lambda _request: None
    again = await retry(service, firing.firing_id)
    assert (again.state, again.attempts) == (messages.FIRING_STATE_QUEUED, 5)
    assert (await retry(service, firing.firing_id)).state == messages.FIRING_STATE_QUEUED
    await dispatcher.dispatch_once()
    assert await states(service) == ["DISPATCHED"]
    assert list(peer.runs) == [firing.firing_id]


async def test_a_retrying_firing_is_tried_at_once(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    [firing] = (await service.report()).firings
    await service.execute(
        "update trigger.firings set state = 'RETRYING', refusals = 4, next_attempt_time = 'infinity'::timestamptz"
    )
    await retry(service, firing.firing_id)
    await service.dispatcher().dispatch_once()
    assert await states(service) == ["DISPATCHED"]


@pytest.mark.parametrize("state", ["QUEUED", "RETRYING", "HELD", "DEAD"])
async def test_what_the_runner_does_not_have_can_be_cancelled_and_cancelling_twice_is_no_error(
    service: Harness, peer: Peer, state: str
) -> None:
    await service.workflow(TRAIN={})
    [firing] = (await service.report()).firings
    await service.execute("update trigger.firings set state = $1, held_by = 'PAUSE'", state)
    for _ in range(2):
        cancelled = await cancel(service, firing.firing_id)
        assert (cancelled.state, cancelled.last_error) == (messages.FIRING_STATE_CANCELLED, "cancelled by request")
    await service.dispatcher().dispatch_once()
    assert peer.sent == 0


@pytest.mark.parametrize(
    ("state", "call", "code"),
    [
        ("DISPATCHING", cancel, grpc.StatusCode.ABORTED),
        ("DISPATCHING", retry, grpc.StatusCode.ABORTED),
        ("DISPATCHED", cancel, grpc.StatusCode.FAILED_PRECONDITION),
        ("DISPATCHED", retry, grpc.StatusCode.FAILED_PRECONDITION),
        ("CANCELLED", retry, grpc.StatusCode.FAILED_PRECONDITION),
        ("HELD", retry, grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
async def test_a_firing_in_another_state_is_left_as_it_is(
    service: Harness, state: str, call: Any, code: grpc.StatusCode
) -> None:
    await service.workflow(TRAIN={})
    [firing] = (await service.report()).firings
    await service.execute("update trigger.firings set state = $1", state)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(service, firing.firing_id)
    assert (refused.value.code(), reason_of(refused.value)) == (code, f"FIRING_{state}")
    assert await states(service) == [state]


@pytest.mark.parametrize("call", [retry, cancel])
async def test_an_unknown_firing_and_one_of_another_experiment_are_not_found(service: Harness, call: Any) -> None:
    await service.workflow(TRAIN={})
    [firing] = (await service.report()).firings
    for firing_id, experiment_id in (("nonsense", ""), (UNKNOWN, ""), (firing.firing_id, "e2")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(service, firing_id, experiment_id=experiment_id)
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert await states(service) == ["QUEUED"]


async def test_a_retry_after_the_workflow_was_deleted_is_refused(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    [firing] = (await service.report()).firings
    await service.execute("update trigger.firings set state = 'DEAD'")
    await service.stub.DeleteWorkflow(calls.DeleteWorkflowRequest(workflow_id=workflow_id))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await retry(service, firing.firing_id)
    assert reason_of(refused.value) == "WORKFLOW_DELETED"


async def test_cancelling_and_dispatching_at_once_never_both_happen(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    await report_many(service, 40)
    found = await service.firings(page_size=100)

    async def try_to_cancel(firing_id: str) -> bool:
        try:
            await cancel(service, firing_id)
        except grpc.aio.AioRpcError as error:
            if error.code() not in {grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION}:
                raise
            return False
        return True

    cancelled, _ = await asyncio.gather(
        asyncio.gather(*(try_to_cancel(firing.firing_id) for firing in found)), service.dispatcher().dispatch_once()
    )
    gone = {firing.firing_id for firing, was_cancelled in zip(found, cancelled, strict=True) if was_cancelled}
    assert gone.isdisjoint(peer.runs)
    assert len(gone) + len(peer.runs) == 40


async def test_a_concurrency_key_is_rendered_from_the_input_and_sent_along(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    stored = {"key": "train-${input.job.job_name}", "on_conflict": "ON_CONFLICT_QUEUE"}
    await service.execute("update trigger.workflows set concurrency = $1", stored)
    [firing] = (await report(service, "a", job_name="nightly")).firings
    await service.dispatcher().dispatch_once()
    sent = peer.requests[firing.firing_id]
    assert sent.concurrency_key == "train-nightly"
    assert sent.on_conflict == 2


async def test_a_key_that_is_one_expression_may_be_a_number(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    stored = {"key": "${input.job.attributes.shard}", "on_conflict": "SKIP"}
    await service.execute("update trigger.workflows set concurrency = $1", stored)
    [firing] = (await report(service, "a", attributes={"shard": 7})).firings
    await service.dispatcher().dispatch_once()
    assert peer.requests[firing.firing_id].concurrency_key == "7"


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        ({"key": "${input.job.attributes.shard}"}, 'concurrency: there is no key "shard"'),
        ({"key": "${input.job.attributes}"}, "concurrency: the key is no text"),
        ({"key": "${input.job.job_name}"}, "concurrency: the key must not be empty"),
        ({"key": "${input."}, "concurrency: "),
        ({"key": 5}, "concurrency: the workflow's stored concurrency cannot be honoured"),
        ({"key": "k", "on_conflict": "WAIT"}, "concurrency: the workflow's stored concurrency cannot be honoured"),
        (["k"], "concurrency: the workflow's stored concurrency cannot be honoured"),
    ],
)
async def test_a_key_that_cannot_be_rendered_is_the_workflows_own_refusal(
    service: Harness, peer: Peer, stored: Any, error: str
) -> None:
    bad, good = await service.workflow(name="bad", TRAIN={}), await service.workflow(TRAIN={})
    await service.execute("update trigger.workflows set concurrency = $2 where workflow_id = $1", bad, stored)
    await report(service, "a")
    await service.dispatcher().dispatch_once()
    [firing] = await service.firings(bad)
    assert (firing.state, firing.attempts) == (messages.FIRING_STATE_RETRYING, 1)
    assert firing.last_error.startswith(error)
    assert [request.workflow_id for request in peer.requests.values()] == [good]
    assert len((await service.stub.ListWorkflows(calls.ListWorkflowsRequest())).workflows) == 2


async def test_a_run_that_was_skipped_counts_as_dispatched_without_a_run(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await service.execute('update trigger.workflows set concurrency = \'{"key": "one", "on_conflict": "SKIP"}\'')

    def is_second(request: runner_calls.StartRunRequest) -> bool:
        return request.concurrency_key == "one" and bool(peer.runs)

    peer.skips = is_second
    await report(service, "a")
    await report(service, "b")
    await service.dispatcher().dispatch_once()
    second, first = await service.firings(workflow_id)
    assert (first.state, bool(first.run_id)) == (messages.FIRING_STATE_DISPATCHED, True)
    assert (second.state, second.run_id) == (messages.FIRING_STATE_DISPATCHED, "")
    assert second.last_error == "skipped: another run with its concurrency key is unfinished"
