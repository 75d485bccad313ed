"""GetRun, CancelRun, ListRuns and ListRunEvents over gRPC."""

from collections.abc import Awaitable
from typing import Any

from runner_service.domain.projection import RunState
from runner_service.rpc.servicer import SERVICE_NAME, RunnerServicer
from tests.integration.runner.rpc.harness import Service, faulty_fields, plain, refusal
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, edge, node
from wakepoint.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from wakepoint.chassis.ids import new_id
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.workflow.v1 import execution_pb2 as execution

GRAPH = chain(node("c", "Constant", value=1), node("o", "Output"))
WAITING = chain(node("c", "Constant", value=1), node("m", "Manual"), node("o", "Output"))
SUSPENDING = chain(
    node("c", "Constant", value=1), node("m", "Manual", inactivity_timeout_seconds=0), node("o", "Output")
)


async def states(service: Service, run_id: str) -> dict[str, str]:
    run = await service.stub.GetRun(calls.GetRunRequest(run_id=run_id))
    return {
        node_id: messages.NodeState.Name(status.state).removeprefix("NODE_STATE_")
        for node_id, status in run.node_states.items()
    }


async def test_nodes_that_have_not_begun_are_pending(service: Service) -> None:
    run_id = await service.start(GRAPH)
    assert await states(service, run_id) == {"c": "PENDING", "o": "PENDING"}


async def test_a_completed_run_shows_its_outputs_and_those_of_its_nodes(live: Service, runner: Runner) -> None:
    run_id = await live.start(GRAPH)
    await runner.until(run_id, RunState.COMPLETED)
    run = plain(await live.stub.GetRun(calls.GetRunRequest(run_id=run_id)))
    assert (run["state"], run["outputs"]) == ("RUN_STATE_COMPLETED", {"o": 1})
    assert run["node_states"]["c"] == {
        "state": "NODE_STATE_COMPLETED",
        "activation": "0",
        "attempt": 1,
        "outputs": {"output": 1},
    }
    assert {"create_time", "start_time", "update_time", "end_time"} <= set(run)
    assert "error" not in run


async def test_a_node_that_waits_in_memory_is_waiting(live: Service) -> None:
    run_id = await live.start(WAITING)

    async def waits() -> bool:
        return await states(live, run_id) == {"c": "COMPLETED", "m": "WAITING", "o": "PENDING"}

    await eventually(waits)


async def test_a_suspended_node_shows_what_it_kept_and_a_cancelled_run_what_it_ended(
    live: Service, runner: Runner
) -> None:
    run_id = await live.start(SUSPENDING)
    await runner.until(run_id, RunState.SUSPENDED)
    run = plain(await live.stub.GetRun(calls.GetRunRequest(run_id=run_id)))
    assert run["suspended_node_ids"] == ["m"]
    suspended = run["node_states"]["m"]
    assert suspended["state"] == "NODE_STATE_SUSPENDED"
    assert suspended["activation"] == "1"
    assert suspended["suspension_metadata"]["inactivity_suspension"] is True
    assert "suspended_at" in suspended["saved_state"]

    cancelled = await live.stub.CancelRun(calls.CancelRunRequest(run_id=run_id, reason="not needed any more"))
    assert cancelled.state == execution.RUN_STATE_CANCELLED
    assert cancelled.error == "not needed any more"
    assert not cancelled.suspended_node_ids
    assert await states(live, run_id) == {"c": "COMPLETED", "m": "CANCELLED", "o": "PENDING"}


async def test_a_failed_run_says_which_node_failed_and_why(live: Service, runner: Runner) -> None:
    run_id = await live.start(chain(node("e", "Expression", expression="1 / (input.zero)")), input={"zero": 0})
    await runner.until(run_id, RunState.FAILED)
    run = await live.stub.GetRun(calls.GetRunRequest(run_id=run_id))
    assert run.error.startswith("node e: ")
    assert "zero" in run.error
    assert run.node_states["e"].state == messages.NODE_STATE_FAILED
    assert run.node_states["e"].error in run.error


async def test_cancelling_twice_is_no_error_and_a_completed_run_cannot_be_cancelled(
    live: Service, runner: Runner
) -> None:
    waiting = await live.start(WAITING)
    first = await live.stub.CancelRun(calls.CancelRunRequest(run_id=waiting, reason="a"))
    second = await live.stub.CancelRun(calls.CancelRunRequest(run_id=waiting, reason="b"))
    assert second == first
    completed = await live.start(GRAPH)
    await runner.until(completed, RunState.COMPLETED)
    error = await refusal(live.stub.CancelRun(calls.CancelRunRequest(run_id=completed)))
    assert isinstance(error, FailedPrecondition)
    assert error.reason == "RUN_FINISHED"


def one_run_calls(service: Service, run_id: str, experiment_id: str) -> list[Awaitable[Any]]:
    return [
        service.stub.GetRun(calls.GetRunRequest(run_id=run_id, experiment_id=experiment_id)),
        service.stub.CancelRun(calls.CancelRunRequest(run_id=run_id, experiment_id=experiment_id)),
        service.stub.ListRunEvents(calls.ListRunEventsRequest(run_id=run_id, experiment_id=experiment_id)),
        service.stub.WatchRun(calls.WatchRunRequest(run_id=run_id, experiment_id=experiment_id)).read(),
    ]


async def test_an_unknown_run_and_another_experiments_run_are_told_alike(service: Service) -> None:
    run_id = await service.start(GRAPH)
    for unknown, experiment_id in ((new_id(), ""), ("not-an-id", ""), (run_id, "e2")):
        for call in one_run_calls(service, unknown, experiment_id):
            error = await refusal(call)
            assert isinstance(error, NotFound)
            assert (error.reason, error.message) == ("RUN_NOT_FOUND", f"run {unknown} does not exist")
    assert (await service.stub.GetRun(calls.GetRunRequest(run_id=run_id))).state == execution.RUN_STATE_QUEUED


async def test_a_request_about_a_run_must_say_which_and_be_storable(service: Service) -> None:
    for call in one_run_calls(service, "", "e\0"):
        error = await refusal(call)
        assert isinstance(error, InvalidArgument)
        assert faulty_fields(error) == ["run_id", "experiment_id"]
    long = calls.CancelRunRequest(run_id="r", reason="x" * 2001)
    assert faulty_fields(await refusal(service.stub.CancelRun(long))) == ["reason"]


async def test_runs_are_listed_newest_first_each_exactly_once_and_none_that_came_later(service: Service) -> None:
    started = [await service.start(GRAPH) for _ in range(5)]
    seen: list[str] = []
    request = calls.ListRunsRequest(page_size=2)
    while True:
        page = await service.stub.ListRuns(request)
        seen += [run.run_id for run in page.runs]
        assert len(page.runs) <= 2
        if not page.next_page_token:
            break
        await service.start(GRAPH)
        request.page_token = page.next_page_token
    assert seen == started[::-1]


async def test_runs_are_narrowed_by_workflow_state_and_experiment(service: Service) -> None:
    one, two = await service.start(GRAPH), await service.start(GRAPH, workflowId="w2")
    other = await service.start(GRAPH, experimentId="e2")
    await service.stub.CancelRun(calls.CancelRunRequest(run_id=one))

    async def listed(**fields: Any) -> list[str]:
        return [run.run_id for run in (await service.stub.ListRuns(calls.ListRunsRequest(**fields))).runs]

    assert await listed() == [other, two, one]
    assert await listed(workflow_id="w2") == [two]
    assert await listed(experiment_id="e1") == [two, one]
    assert await listed(states=[execution.RUN_STATE_CANCELLED]) == [one]
    assert await listed(states=[execution.RUN_STATE_CANCELLED, execution.RUN_STATE_QUEUED], workflow_id="w1") == [
        other,
        one,
    ]
    assert await listed(experiment_id="nobody") == []


async def test_filters_and_pages_that_are_none_are_refused_naming_each(service: Service) -> None:
    runs = calls.ListRunsRequest(
        states=[execution.RunState.ValueType(number) for number in (0, 99)], workflow_id="\0", page_size=-1
    )
    assert set(faulty_fields(await refusal(service.stub.ListRuns(runs)))) == {
        "states[0]",
        "states[1]",
        "workflow_id",
        "page_size",
    }
    lines = calls.ListRunEventsRequest(event_types=["RunCreated", "Nonsense"], after_seq=-1, page_size=-1)
    assert set(faulty_fields(await refusal(service.stub.ListRunEvents(lines)))) == {
        "run_id",
        "event_types[1]",
        "after_seq",
        "page_size",
    }


async def test_a_token_of_another_query_is_refused_and_so_is_garbage(service: Service) -> None:
    run_id = await service.start(GRAPH)
    await service.start(GRAPH)
    runs = (await service.stub.ListRuns(calls.ListRunsRequest(page_size=1))).next_page_token
    lines = (await service.stub.ListRunEvents(calls.ListRunEventsRequest(run_id=run_id, page_size=1))).next_page_token
    assert runs
    assert lines
    wrong: list[Awaitable[Any]] = [
        service.stub.ListRuns(calls.ListRunsRequest(page_size=1, page_token=runs, workflow_id="w1")),
        service.stub.ListRuns(calls.ListRunsRequest(page_token=lines)),
        service.stub.ListRuns(calls.ListRunsRequest(page_token="garbage")),
        service.stub.ListRunEvents(calls.ListRunEventsRequest(run_id=run_id, page_token=lines, node_id="c")),
        service.stub.ListRunEvents(calls.ListRunEventsRequest(run_id=run_id, page_token=runs)),
        service.stub.ListSuspended(calls.ListSuspendedRequest(page_token=runs)),
    ]
    for call in wrong:
        error = await refusal(call)
        assert (error.reason, faulty_fields(error)) == ("INVALID_PAGE_TOKEN", ["page_token"])


async def test_a_log_is_paged_in_order_and_can_be_narrowed(live: Service, runner: Runner) -> None:
    run_id = await live.start(GRAPH, input={"x": 1})
    last = (await runner.until(run_id, RunState.COMPLETED)).last_seq
    seen: list[messages.RunEvent] = []
    request = calls.ListRunEventsRequest(run_id=run_id, page_size=2)
    while True:
        page = await live.stub.ListRunEvents(request)
        seen += page.events
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert [event.seq for event in seen] == list(range(1, last + 1))
    assert seen[0].event_type == "RunCreated"
    assert plain(seen[0])["payload"]["input"] == {"x": 1}
    assert seen[-1].event_type == "RunCompleted"

    async def numbers(**fields: Any) -> list[tuple[str, str]]:
        found = await live.stub.ListRunEvents(calls.ListRunEventsRequest(run_id=run_id, **fields))
        return [(event.event_type, event.node_id) for event in found.events]

    assert await numbers(after_seq=last - 1) == [("RunCompleted", "")]
    assert await numbers(after_seq=last) == []
    assert ("NodeCompleted", "c") in await numbers(node_id="c")
    assert {node_id for _, node_id in await numbers(node_id="c")} == {"c"}
    assert await numbers(event_types=["NodeCompleted", "RunCreated"]) == [
        ("RunCreated", ""),
        ("NodeCompleted", "c"),
        ("NodeCompleted", "o"),
    ]


async def test_a_page_of_large_lines_is_cut_to_fit_into_a_message(live: Service, runner: Runner) -> None:
    graph = {"nodes": [node("c", "Constant", value="x" * 900_000)]}
    run_id = await live.start(graph, input={"large": "y" * 900_000})
    await runner.until(run_id, RunState.COMPLETED)
    seen: list[int] = []
    pages, request = 0, calls.ListRunEventsRequest(run_id=run_id)
    while True:
        page = await live.stub.ListRunEvents(request)
        seen += [event.seq for event in page.events]
        pages += 1
        assert page.ByteSize() < 4 * 1024 * 1024
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert pages > 1
    assert seen == list(range(1, len(seen) + 1))


async def test_a_branch_that_was_not_taken_is_skipped(live: Service, runner: Runner) -> None:
    graph = {
        "nodes": [
            node("a", "Constant", value=1),
            node("b", "Branch", condition="inputs.input == 2"),
            node("y", "Output"),
            node("n", "Output"),
        ],
        "edges": [edge("a", "b"), edge("b", "y", source_output="true"), edge("b", "n", source_output="false")],
    }
    run_id = await live.start(graph)
    await runner.until(run_id, RunState.COMPLETED)
    assert await states(live, run_id) == {"a": "COMPLETED", "b": "COMPLETED", "y": "SKIPPED", "n": "COMPLETED"}


def test_every_method_of_the_service_is_answered() -> None:
    assert SERVICE_NAME == "wakepoint.runner.v1.RunnerService"
    methods = {method.name for method in calls.DESCRIPTOR.services_by_name["RunnerService"].methods}
    assert methods <= set(vars(RunnerServicer))
