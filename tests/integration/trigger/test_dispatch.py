import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest
import structlog.testing
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status

from tests.integration.trigger.harness import FAST, Harness, configs
from tests.integration.trigger.peer import Peer
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.proxy import proxied
from trigger_service.dispatcher.announcer import Announcer
from trigger_service.domain.dispatch import Lease, Outcome, Refused
from wakepoint.chassis.database import Database
from wakepoint.chassis.listener import Listener
from wakepoint.chassis.tasks import Background, Poke
from wakepoint.runner.v1 import runner_service_pb2 as runner_calls
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.workflow.v1 import execution_pb2 as execution


def refusing(workflow_id: str, code: grpc.StatusCode) -> Any:
    def refusal(request: runner_calls.StartRunRequest) -> Status | None:
        return Status(code=code.value[0], message="no") if request.workflow_id == workflow_id else None

    return refusal


async def states(service: Harness) -> list[str]:
    found = await service.value("select array_agg(state order by firing_id) from trigger.firings")
    return list(found or [])


async def test_a_firing_becomes_a_run_with_the_jobs_facts_as_its_input(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(name="the graph", TRAIN={})
    answer = await service.report(
        event_id="ev",
        job_name="nightly",
        attributes={"accuracy": 0.9, "steps": 100},
        causation=messages.Causation(run_id="r0", depth=3),
    )
    await service.dispatcher().dispatch_once()
    [firing] = await service.firings(workflow_id)
    request = peer.requests[firing.firing_id]
    assert MessageToDict(request.input, preserving_proto_field_name=True) == {
        "event_id": "ev",
        "job": {
            "job_id": "j1",
            "job_type": "TRAIN",
            "job_name": "nightly",
            "status": "COMPLETE",
            "attributes": {"accuracy": 0.9, "steps": 100},
        },
    }
    assert (request.workflow_id, request.experiment_id) == (workflow_id, "e1")
    source = request.source
    assert (source.firing_id, source.event_id, source.trigger_type, source.depth) == (
        answer.firings[0].firing_id,
        "ev",
        "TRAIN",
        3,
    )
    sent = peer.batches[0].graphs[request.graph_hash]
    assert sent.nodes[0].properties["value"] == "the graph"
    assert (firing.state, firing.run_id) == (messages.FIRING_STATE_DISPATCHED, peer.runs[firing.firing_id])
    assert firing.attempts == 1
    assert firing.HasField("dispatch_time")


async def test_a_workflow_run_by_hand_gets_its_input_as_given_once_per_request_id(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow()
    request = calls.RunWorkflowRequest(request_id="r", workflow_id=workflow_id)
    request.input.update({"n": 1, "list": [True, None]})
    fired = await asyncio.gather(*(service.stub.RunWorkflow(request) for _ in range(10)))
    assert len({firing.firing_id for firing in fired}) == 1
    await service.dispatcher().dispatch_once()
    assert list(peer.requests) == [fired[0].firing_id]
    sent = peer.requests[fired[0].firing_id]
    assert MessageToDict(sent.input) == {"n": 1, "list": [True, None]}
    assert (sent.source.trigger_type, sent.source.event_id) == ("MANUAL", fired[0].event_id)
    request.input.update({"n": 2})
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.RunWorkflow(request)
    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS


async def test_a_firing_pins_the_graph_of_the_version_that_matched(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(name="old", TRAIN={})
    await service.workflow(name="new")
    [firing] = (await service.report()).firings
    await service.execute(
        "update trigger.workflows set graph_hash = (select graph_hash from trigger.workflows where name = 'new') "
        "where workflow_id = $1",
        workflow_id,
    )
    await service.dispatcher().dispatch_once()
    request = peer.requests[firing.firing_id]
    assert peer.batches[0].graphs[request.graph_hash].nodes[0].properties["value"] == "old"
    assert firing.workflow_version == 1
    [later] = (await service.report(job_id="j2")).firings
    assert later.workflow_version == 2


async def test_one_refused_workflow_is_retried_and_then_dead_without_holding_back_another(
    service: Harness, peer: Peer
) -> None:
    bad, good = await service.workflow(name="bad", TRAIN={}), await service.workflow(name="good", TRAIN={})
    peer.refusal = refusing(bad, grpc.StatusCode.FAILED_PRECONDITION)
    await service.report()
    dispatcher = service.dispatcher()
    await dispatcher.dispatch_once()
    [dispatched] = await service.firings(good)
    assert dispatched.state == messages.FIRING_STATE_DISPATCHED
    [retrying] = await service.firings(bad)
    assert (retrying.state, retrying.attempts, retrying.last_error) == (
        messages.FIRING_STATE_RETRYING,
        1,
        "FAILED_PRECONDITION: no",
    )

    async def dead() -> bool:
        await dispatcher.dispatch_once()
        return (await service.firings(bad))[0].state == messages.FIRING_STATE_DEAD

    await eventually(dead)
    [firing] = await service.firings(bad)
    assert (firing.attempts, firing.last_error) == (5, "FAILED_PRECONDITION: no")
    sent = peer.sent
    await dispatcher.dispatch_once()
    assert peer.sent == sent


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL])
async def test_other_troubles_are_retried_for_ever(service: Harness, peer: Peer, code: grpc.StatusCode) -> None:
    workflow_id = await service.workflow(TRAIN={})
    peer.refusal = refusing(workflow_id, code)
    await service.report()
    dispatcher = service.dispatcher()

    async def tried_often() -> bool:
        await dispatcher.dispatch_once()
        return (await service.firings(workflow_id))[0].attempts >= 8

    await eventually(tried_often)
    assert await states(service) == ["RETRYING"]
    peer.refusal = lambda _request: None

    async def dispatched() -> bool:
        await dispatcher.dispatch_once()
        return await states(service) == ["DISPATCHED"]

    await eventually(dispatched)


async def test_a_batch_refused_as_a_whole_is_split_until_the_culprit_stands_alone(service: Harness, peer: Peer) -> None:
    bad = await service.workflow(name="bad", TRAIN={})
    for number in range(9):
        await service.workflow(name=f"good{number}", TRAIN={})
    peer.whole = lambda request: (
        grpc.StatusCode.INVALID_ARGUMENT if any(item.workflow_id == bad for item in request.requests) else None
    )
    await service.report()
    await service.dispatcher().dispatch_once()
    assert sorted(await states(service)) == ["DISPATCHED"] * 9 + ["RETRYING"]
    assert (await service.firings(bad))[0].last_error == "INVALID_ARGUMENT: refused as a whole"


async def test_a_runner_that_is_away_costs_no_firing_an_attempt_and_gets_all_when_it_is_back(
    service: Harness, peer: Peer
) -> None:
    for number in range(3):
        await service.workflow(name=f"w{number}", TRAIN={})
    await peer.go_away()
    await service.report()
    dispatcher = service.dispatcher()
    for _ in range(7):
        await dispatcher.dispatch_once()
        assert dispatcher.runner_is_away
    assert await states(service) == ["QUEUED"] * 3
    assert {firing.attempts for firing in await service.firings()} == {0}
    await peer.come()
    background = Background()
    background.spawn("dispatcher", dispatcher.run)

    async def all_dispatched() -> bool:
        return await states(service) == ["DISPATCHED"] * 3

    await eventually(all_dispatched)
    await dispatcher.stop()
    await background.stop()
    assert not dispatcher.runner_is_away
    assert len(peer.runs) == 3


async def test_a_runner_that_was_too_slow_is_given_small_batches_first(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    for number in range(30):
        await service.report(job_id=f"j{number}")
    peer.whole = lambda request: grpc.StatusCode.DEADLINE_EXCEEDED if len(request.requests) > 16 else None
    dispatcher = service.dispatcher()
    while await states(service) != ["DISPATCHED"] * 30:
        await dispatcher.dispatch_once()
    assert [len(batch.requests) for batch in peer.batches] == [30, 1, 4, 16, 9]


async def test_a_dispatcher_outlives_an_outage_of_the_database(service: Harness, peer: Peer, trigger_dsn: str) -> None:
    await service.workflow(TRAIN={})
    async with proxied(trigger_dsn) as proxy:
        database = await Database.open(proxy.dsn, application_name="test", min_size=1, max_size=2)
        dispatcher = replace(service, database=database).dispatcher()
        background = Background()
        background.spawn("dispatcher", dispatcher.run)
        proxy.cut()
        with structlog.testing.capture_logs() as logged:
            await service.report()
            await eventually(lambda: any(line["event"] == "firings wait for the database" for line in logged))
        assert await states(service) == ["QUEUED"]
        proxy.mend()

        async def dispatched() -> bool:
            return await states(service) == ["DISPATCHED"]

        await eventually(dispatched)
        await dispatcher.stop()
        await background.stop()
        assert not background.crashes
        await database.close()
    assert len(peer.runs) == 1


async def test_many_firings_of_large_graphs_travel_in_messages_of_two_megabytes(service: Harness, peer: Peer) -> None:
    for number in range(6):
        await service.workflow(name=f"{number}" + "x" * 150, TRAIN={})
    await service.execute(
        "update trigger.graphs set graph = jsonb_set(graph, '{nodes,0,properties,value}', to_jsonb(repeat('y', $1)))",
        800_000,
    )
    await service.report()
    await service.dispatcher().dispatch_once()
    assert await states(service) == ["DISPATCHED"] * 6
    assert len(peer.batches) == 3
    assert max(batch.ByteSize() for batch in peer.batches) <= 2 * 1024 * 1024


async def test_a_graph_that_many_firings_share_is_sent_once_per_message(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    for number in range(20):
        await service.report(job_id=f"j{number}")
    await service.dispatcher().dispatch_once()
    [batch] = peer.batches
    assert (len(batch.requests), len(batch.graphs)) == (20, 1)
    assert len(await service.firings(workflow_id)) == 20


async def test_two_dispatchers_at_once_hand_each_firing_over_once(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    for number in range(120):
        await service.report(job_id=f"j{number}")
    dispatchers = [service.dispatcher(replace(FAST, batch=7)) for _ in range(3)]

    async def work(dispatcher: Any) -> None:
        while await dispatcher.dispatch_once():
            pass

    await asyncio.gather(*(work(dispatcher) for dispatcher in dispatchers))
    assert await states(service) == ["DISPATCHED"] * 120
    assert peer.sent == len(peer.runs) == 120


async def test_a_lease_that_runs_out_is_taken_over_and_its_late_holder_changes_nothing(
    service: Harness, peer: Peer
) -> None:
    """A dispatcher freezes after sending; another takes over; then the first wakes up and records."""
    await service.workflow(TRAIN={})
    await service.report()
    sent, may_return = asyncio.Event(), asyncio.Event()

    class Frozen:
        async def start_runs(self, leases: Sequence[Lease], graphs: Mapping[str, dict[str, Any]]) -> list[Outcome]:
            await service.runner.start_runs(leases, graphs)
            sent.set()
            await may_return.wait()
            return [Refused("a late and wrong answer")]

    frozen = asyncio.create_task(service.dispatcher(runner=Frozen()).dispatch_once())
    await sent.wait()
    other = service.dispatcher()
    assert await other.sweep() == 0
    async with service.database.connection() as connection:
        await set_clock_offset(connection, "trigger", timedelta(seconds=11))
    assert await other.sweep() == 1
    await other.dispatch_once()
    may_return.set()
    await frozen
    [firing] = await service.firings()
    assert (firing.state, firing.last_error, firing.attempts) == (messages.FIRING_STATE_DISPATCHED, "", 1)
    assert (peer.sent, len(peer.runs)) == (2, 1)
    assert firing.run_id == peer.runs[firing.firing_id]


async def test_deleting_a_workflow_cancels_what_is_not_being_dispatched(service: Harness, peer: Peer) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await service.report()
    await service.stub.DeleteWorkflow(calls.DeleteWorkflowRequest(workflow_id=workflow_id))
    [firing] = await service.firings(workflow_id)
    assert (firing.state, firing.last_error) == (messages.FIRING_STATE_CANCELLED, "the workflow was deleted")
    await service.dispatcher().dispatch_once()
    assert not peer.batches


async def test_a_match_that_commits_after_its_workflow_was_deleted_is_cancelled_at_the_lease(
    service: Harness, peer: Peer
) -> None:
    workflow_id = await service.workflow(TRAIN={})
    other = await service.workflow(TRAIN={})
    await service.report()
    await service.execute(
        "update trigger.workflows set delete_time = trigger.stamp() where workflow_id = $1", workflow_id
    )
    await service.dispatcher().dispatch_once()
    assert (await service.firings(workflow_id))[0].state == messages.FIRING_STATE_CANCELLED
    assert (await service.firings(other))[0].state == messages.FIRING_STATE_DISPATCHED
    assert peer.sent == 1


async def test_triggers_that_the_service_turned_off_fire_no_more_but_can_be_run_by_hand_and_enabled_again(
    service: Harness, peer: Peer
) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await service.report()
    await service.execute("update trigger.workflows set disabled_reason = 'refused too often'")
    assert not (await service.report(job_id="j2")).firings
    await service.stub.RunWorkflow(calls.RunWorkflowRequest(workflow_id=workflow_id))
    await service.dispatcher().dispatch_once()
    assert [(firing.trigger_type, firing.state) for firing in await service.firings(workflow_id)] == [
        ("MANUAL", messages.FIRING_STATE_DISPATCHED),
        ("TRAIN", messages.FIRING_STATE_CANCELLED),
    ]
    enabled = await service.stub.UpdateTriggerConfigs(
        calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs(TRAIN={}))
    )
    assert not enabled.disabled_reason
    assert len((await service.report(job_id="j3")).firings) == 1


async def test_a_paused_workflows_match_is_held(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={})
    await service.execute("update trigger.workflows set paused = true")
    [firing] = (await service.report()).firings
    assert (firing.state, firing.held_by) == (messages.FIRING_STATE_HELD, "PAUSE")
    await service.dispatcher().dispatch_once()
    assert not peer.batches


async def test_how_a_run_ended_is_recorded_once_and_a_later_attempt_stands(service: Harness) -> None:
    await service.workflow(TRAIN={})
    [firing] = (await service.report()).firings
    await service.dispatcher().dispatch_once()

    async def tell(state: execution.RunState.ValueType, attempt: int) -> messages.Firing:
        result = calls.RunResult(firing_id=firing.firing_id, run_id="r", state=state, attempt=attempt)
        result.end_time.FromSeconds(1_000 + attempt)
        unknown = calls.RunResult(firing_id="018f0000-0000-7000-8000-000000000000", run_id="x", state=state)
        await service.stub.ReportRunStates(calls.ReportRunStatesRequest(results=[unknown, result, result]))
        [found] = await service.firings()
        return found

    assert (await tell(execution.RUN_STATE_FAILED, 1)).run_state == execution.RUN_STATE_FAILED
    ended = await tell(execution.RUN_STATE_COMPLETED, 2)
    assert (ended.run_state, ended.run_end_time.seconds) == (execution.RUN_STATE_COMPLETED, 1_002)
    assert (await tell(execution.RUN_STATE_FAILED, 1)).run_state == execution.RUN_STATE_COMPLETED


async def test_a_state_that_is_not_final_is_refused(service: Harness) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.ReportRunStates(
            calls.ReportRunStatesRequest(results=[calls.RunResult(firing_id="x", state=execution.RUN_STATE_RUNNING)])
        )
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_another_replicas_dispatcher_is_woken_by_a_notification(service: Harness, trigger_dsn: str) -> None:
    heard = asyncio.Queue[str]()
    connected = asyncio.Event()
    listener = Listener(trigger_dsn, {"trigger_firings_due": heard.put_nowait}, connected.set)
    announcer = Announcer(service.database, "replica-1", Poke())
    background = Background()
    background.spawn("listener", listener.run)
    background.spawn("announcer", announcer.run)
    await connected.wait()
    for _ in range(100):
        announcer.announce()
    assert await asyncio.wait_for(heard.get(), 10) == "replica-1"
    await background.stop()
    assert heard.empty()
