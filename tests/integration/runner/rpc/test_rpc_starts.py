"""StartRun and BatchStartRuns over gRPC."""

import asyncio

from tests.integration.runner.rpc.harness import Service, faulty_fields, graph_message, plain, refusal, start_request
from tests.support.runner import chain, node
from wakepoint.chassis.errors import AlreadyExists, InvalidArgument
from wakepoint.chassis.ids import is_id, new_id
from wakepoint.chassis.status import from_status
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls

GRAPH = chain(node("c", "Constant", value=1), node("o", "Output"))
BROKEN = chain(node("c", "Constant", value=1), node("x", "Nothing"))


async def test_a_started_run_is_queued_with_all_that_was_said_of_it(service: Service) -> None:
    source = {"firingId": new_id(), "eventId": "ev", "triggerType": "TRAIN", "depth": 2}
    answer = await service.stub.StartRun(start_request(GRAPH, input={"n": 3, "deep": {"a": [1, None]}}, source=source))
    assert answer.disposition == messages.START_RUN_DISPOSITION_CREATED
    assert is_id(answer.run.run_id)
    shown = plain(answer.run)
    assert shown["state"] == "RUN_STATE_QUEUED"
    assert (shown["workflow_id"], shown["experiment_id"]) == ("w1", "e1")
    assert shown["input"] == {"n": 3, "deep": {"a": [1, None]}}
    assert shown["source"] == {
        "firing_id": source["firingId"],
        "event_id": "ev",
        "trigger_type": "TRAIN",
        "depth": 2,
    }
    assert (shown["attempt"], shown["first_seq"], shown["last_seq"]) == (1, "1", "2")
    assert not answer.run.HasField("start_time")


async def test_a_request_id_starts_one_run_however_concurrently_it_comes(service: Service) -> None:
    request = start_request(GRAPH, requestId="r1")
    answers = await asyncio.gather(*(service.stub.StartRun(request) for _ in range(8)))
    assert len({answer.run.run_id for answer in answers}) == 1
    dispositions = sorted(answer.disposition for answer in answers)
    assert dispositions == [messages.START_RUN_DISPOSITION_CREATED] + [messages.START_RUN_DISPOSITION_DUPLICATE] * 7
    assert (await service.rows())["runs"] == 1


async def test_a_request_id_with_another_body_is_refused_and_with_another_experiment_is_another(
    service: Service,
) -> None:
    await service.start(GRAPH, requestId="r1", input={"a": 1})
    error = await refusal(service.stub.StartRun(start_request(GRAPH, requestId="r1", input={"a": 2})))
    assert isinstance(error, AlreadyExists)
    assert error.reason == "REQUEST_ID_REUSED"
    other = await service.stub.StartRun(start_request(GRAPH, requestId="r1", experimentId="e2", input={"a": 2}))
    assert other.disposition == messages.START_RUN_DISPOSITION_CREATED


async def test_every_faulty_field_of_a_request_is_named_at_once_and_nothing_is_stored(service: Service) -> None:
    request = start_request(
        {
            "nodes": [
                {"id": "c", "type": "Constant", "timeout": "-1s", "properties": {"value": "a\0b"}},
                {"id": "d", "type": "Nothing", "retry": {"maxAttempts": -1, "initialBackoff": "-2s"}},
            ],
            "edges": [{"source": "c", "target": "nowhere"}],
        },
        workflowId="",
        experimentId="e\0",
        requestId="r" * 201,
        input={"text": "\0"},
        source={"depth": -1},
        concurrencyKey="k" * 201,
        graphHash="h",
    )
    request.deadline.seconds = -(10**15)
    request.on_conflict = 17  # type: ignore[assignment]
    request.input.fields["number"].number_value = float("nan")
    error = await refusal(service.stub.StartRun(request))
    assert isinstance(error, InvalidArgument)
    assert error.reason == "INVALID_GRAPH"
    fields = faulty_fields(error)
    assert len(fields) == len(set(fields))
    assert set(fields) == {
        "workflow_id",
        "experiment_id",
        "request_id",
        "graph_hash",
        "input.number",
        "source.depth",
        "concurrency_key",
        "on_conflict",
        "deadline",
        "graph.nodes[0].timeout",
        "graph.nodes[0].properties.value",
        "graph.nodes[1].type",
        "graph.nodes[1].retry.max_attempts",
        "graph.nodes[1].retry.initial_backoff",
        "graph.edges[0].target",
    }
    assert set((await service.rows()).values()) == {0}


async def test_a_run_without_a_graph_is_refused(service: Service) -> None:
    assert faulty_fields(await refusal(service.stub.StartRun(start_request(None)))) == ["graph"]


async def test_an_on_conflict_without_a_key_is_refused_and_the_default_is_not(service: Service) -> None:
    error = await refusal(service.stub.StartRun(start_request(GRAPH, onConflict="ON_CONFLICT_SKIP")))
    assert "on_conflict: SKIP needs a concurrency_key" in error.message
    await service.start(GRAPH, onConflict="ON_CONFLICT_ALLOW")


async def test_a_batch_starts_each_request_and_one_that_is_faulty_fails_alone(service: Service) -> None:
    request = calls.BatchStartRunsRequest(
        graphs={"good": graph_message(GRAPH), "bad": graph_message(BROKEN)},
        requests=[
            start_request(None, graphHash="good", requestId="a"),
            start_request(None, graphHash="bad", requestId="b"),
            start_request(None, graphHash="unknown", requestId="c"),
            start_request(GRAPH, requestId="d"),
            start_request(None, graphHash="good", requestId="a"),
            start_request(None, graphHash="good", requestId="a", input={"other": True}),
            start_request(GRAPH, graphHash="good", requestId="e"),
        ],
    )
    results = (await service.stub.BatchStartRuns(request)).results
    assert [result.disposition for result in results] == [
        messages.START_RUN_DISPOSITION_CREATED,
        0,
        0,
        messages.START_RUN_DISPOSITION_CREATED,
        messages.START_RUN_DISPOSITION_DUPLICATE,
        0,
        0,
    ]
    assert results[0].run.run_id == results[4].run.run_id
    errors = [from_status(result.error) if result.HasField("error") else None for result in results]
    assert [type(error) for error in errors if error] == [
        InvalidArgument,
        InvalidArgument,
        AlreadyExists,
        InvalidArgument,
    ]
    assert [faulty_fields(error) for error in errors if error] == [
        ["graph.nodes[1].type"],
        ["graph"],
        [],
        ["graph_hash"],
    ]
    rows = await service.rows()
    assert (rows["runs"], rows["graphs"], rows["start_requests"]) == (2, 1, 2)


async def test_a_graph_of_a_batch_that_cannot_be_read_fails_only_those_who_name_it(service: Service) -> None:
    unreadable = graph_message(GRAPH)
    unreadable.nodes[0].timeout.FromJsonString("-5s")
    request = calls.BatchStartRunsRequest(
        graphs={"bad": unreadable, "good": graph_message(GRAPH)},
        requests=[start_request(None, graphHash="bad"), start_request(None, graphHash="good")],
    )
    refused, started = (await service.stub.BatchStartRuns(request)).results
    error = from_status(refused.error)
    assert error is not None
    assert faulty_fields(error) == ["graph.nodes[0].timeout"]
    assert started.run.run_id


async def test_a_batch_of_more_than_a_thousand_is_refused_as_a_whole(service: Service) -> None:
    request = calls.BatchStartRunsRequest(requests=[calls.StartRunRequest()] * 1001)
    assert faulty_fields(await refusal(service.stub.BatchStartRuns(request))) == ["requests"]


async def test_an_empty_batch_has_no_results(service: Service) -> None:
    assert not (await service.stub.BatchStartRuns(calls.BatchStartRunsRequest())).results
