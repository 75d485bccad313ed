"""ListSuspended over gRPC."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from runner_service.domain.projection import RunState
from tests.integration.runner.rpc.harness import Service, faulty_fields, plain, refusal, wake_request
from tests.support.conditions import eventually
from tests.support.db_clock import set_clock_offset
from tests.support.runner import Runner, chain, node
from wakepoint.chassis.database import Database
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls


def manual(**properties: Any) -> dict[str, Any]:
    return chain(node("m", "Manual", **{"inactivity_timeout_seconds": 0} | properties))


APPROVAL = chain(node("a", "Approval", inactivity_timeout_seconds=0, approvers=["ada"]))
DELAY = chain(node("d", "Delay", seconds=3600))


async def suspend(live: Service, runner: Runner, graph: dict[str, Any], **fields: Any) -> str:
    run_id = await live.start(graph, **fields)
    await runner.until(run_id, RunState.SUSPENDED)
    return run_id


async def listed(service: Service, **fields: Any) -> list[str]:
    page = await service.stub.ListSuspended(calls.ListSuspendedRequest(**fields))
    assert page.total_estimate == len(page.suspended)
    return [waiting.run_id for waiting in page.suspended]


async def test_a_suspended_node_is_shown_with_why_since_when_and_how_to_reach_it(live: Service, runner: Runner) -> None:
    run_id = await suspend(live, runner, APPROVAL)
    answer = await live.stub.ListSuspended(calls.ListSuspendedRequest())
    (shown,) = plain(answer)["suspended"]
    assert shown["key"] == "w1:a"
    assert (shown["run_id"], shown["node_id"], shown["node_type"]) == (run_id, "a", "Approval")
    assert (shown["workflow_id"], shown["experiment_id"]) == ("w1", "e1")
    assert shown["reason"] == "Trigger inactivity timeout (0s)"
    assert shown["state"]["approvers"] == ["ada"]
    assert shown["metadata"]["webhook_url"] == f"http://runner.test/hooks/{run_id}.a"
    assert shown["metadata"]["inactivity_timeout_seconds"] == 0
    assert shown["health"] == "WAIT_HEALTH_OK"
    assert "suspend_time" in shown
    assert "wake_time" not in shown
    async with live.database.connection() as connection:
        stored = await connection.fetchval("select metadata from runner.waits")
    assert "webhook_url" not in stored


async def test_only_nodes_that_take_requests_have_an_address(live: Service, runner: Runner) -> None:
    await suspend(live, runner, manual())
    (shown,) = (await live.stub.ListSuspended(calls.ListSuspendedRequest())).suspended
    assert "webhook_url" not in shown.metadata.fields


async def test_waiting_nodes_are_narrowed_by_workflow_type_experiment_and_age(
    live: Service, runner: Runner, runner_db: Database
) -> None:
    one = await suspend(live, runner, manual())
    two = await suspend(live, runner, APPROVAL, workflowId="w2")
    three = await suspend(live, runner, manual(), experimentId="e2")
    assert await listed(live) == [one, two, three]
    assert await listed(live, workflow_id="w2") == [two]
    assert await listed(live, node_type="Manual") == [one, three]
    assert await listed(live, experiment_id="e2") == [three]
    idle = calls.ListSuspendedRequest()
    idle.min_idle.FromTimedelta(timedelta(hours=1))
    assert not (await live.stub.ListSuspended(idle)).suspended
    async with runner_db.connection() as connection:
        await set_clock_offset(connection, "runner", timedelta(hours=2))
    assert len((await live.stub.ListSuspended(idle)).suspended) == 3
    idle.min_idle.seconds = 300_000_000_000
    assert not (await live.stub.ListSuspended(idle)).suspended


async def test_a_node_that_waits_in_memory_is_listed_only_where_asked_for(live: Service) -> None:
    run_id = await live.start(manual(inactivity_timeout_seconds=300))

    async def waits() -> bool:
        return await listed(live, include_waiting=True) == [run_id]

    await eventually(waits)
    assert await listed(live) == []
    (shown,) = (await live.stub.ListSuspended(calls.ListSuspendedRequest(include_waiting=True))).suspended
    assert not shown.HasField("suspend_time")


async def test_a_wait_whose_time_has_passed_is_overdue(service: Service, runner_db: Database) -> None:
    run_id = await service.start(DELAY)
    async with runner_db.connection() as connection:
        for node_id, offset in (("late", "-1 hour"), ("due", "1 hour")):
            await connection.execute(
                "insert into runner.waits (run_id, node_id, activation, node_type, wake_time, suspend_time) "
                "values ($1, $2, '0', 'Delay', runner.stamp() + $3::text::interval, runner.stamp())",
                run_id,
                node_id,
                offset,
            )

    async def with_health(health: messages.WaitHealth.ValueType) -> list[str]:
        page = await service.stub.ListSuspended(calls.ListSuspendedRequest(health=health))
        assert page.total_estimate == len(page.suspended)
        assert all(waiting.health == health for waiting in page.suspended)
        return [waiting.node_id for waiting in page.suspended]

    assert await with_health(messages.WAIT_HEALTH_OVERDUE) == ["late"]
    assert await with_health(messages.WAIT_HEALTH_OK) == ["due"]


async def test_a_wait_that_has_a_time_shows_it(live: Service, runner: Runner) -> None:
    await suspend(live, runner, DELAY)
    (shown,) = (await live.stub.ListSuspended(calls.ListSuspendedRequest())).suspended
    assert shown.wake_time.ToSeconds() - shown.suspend_time.ToSeconds() >= 3590


async def test_each_wait_is_listed_exactly_once_longest_first_while_others_come_and_go(
    service: Service, runner_db: Database
) -> None:
    run_id = await service.start(DELAY)
    # Odd ids on purpose: a token has to carry them.
    names = [f"n{number}\n\u200b" for number in range(5)]

    async def add(node_id: str) -> None:
        async with runner_db.connection() as connection:
            await connection.execute(
                "insert into runner.waits (run_id, node_id, activation, node_type, suspend_time) "
                "values ($1, $2, '0', 'Manual', runner.stamp())",
                run_id,
                node_id,
            )

    for name in names:
        await add(name)
    seen, request = [], calls.ListSuspendedRequest(page_size=2)
    while True:
        page = await service.stub.ListSuspended(request)
        assert len(page.suspended) <= 2
        seen += [waiting.node_id for waiting in page.suspended]
        if not page.next_page_token:
            break
        assert page.total_estimate >= 5
        request.page_token = page.next_page_token
        await add(f"later{len(seen)}")
    assert seen == names


async def test_pending_events_are_counted(service: Service, runner_db: Database) -> None:
    run_id = await service.start(manual())
    for _ in range(3):
        await service.stub.WakeUp(wake_request(run_id=run_id, node_id="m"))
    async with runner_db.connection() as connection:
        await connection.execute(
            "insert into runner.waits (run_id, node_id, activation, node_type, suspend_time) "
            "values ($1, 'm', '1', 'Manual', runner.stamp())",
            run_id,
        )
    (shown,) = (await service.stub.ListSuspended(calls.ListSuspendedRequest())).suspended
    assert shown.pending_events == 3


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (
            calls.ListSuspendedRequest(workflow_id="\0", node_type="\0", page_size=-1),
            {"workflow_id", "node_type", "page_size"},
        ),
        (calls.ListSuspendedRequest(health=messages.WaitHealth.ValueType(99)), {"health"}),
        (calls.ListSuspendedRequest(min_idle=Duration(seconds=-1)), {"min_idle"}),
        (calls.ListSuspendedRequest(min_idle=Duration(seconds=10**13)), {"min_idle"}),
    ],
)
async def test_filters_that_are_none_are_refused(
    service: Service, request_: calls.ListSuspendedRequest, fields: set[str]
) -> None:
    assert set(faulty_fields(await refusal(service.stub.ListSuspended(request_)))) == fields


async def test_a_token_of_another_query_is_refused(live: Service, runner: Runner) -> None:
    await suspend(live, runner, manual())
    await suspend(live, runner, manual())
    token = (await live.stub.ListSuspended(calls.ListSuspendedRequest(page_size=1))).next_page_token
    for other in (
        calls.ListSuspendedRequest(page_token=token, include_waiting=True),
        calls.ListSuspendedRequest(page_token=token, workflow_id="w1"),
        calls.ListSuspendedRequest(page_token=token, health=messages.WAIT_HEALTH_OK),
    ):
        assert faulty_fields(await refusal(live.stub.ListSuspended(other))) == ["page_token"]
