"""WakeUp and BatchWakeUp over gRPC, on runs that nothing executes: what is kept is kept in the inbox."""

from typing import Any

import pytest

from tests.integration.runner.rpc.harness import Service, faulty_fields, plain, refusal, wake_request
from tests.support.runner import chain, node
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.ids import new_id
from wakepoint.chassis.status import from_status
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls

GRAPH = chain(node("m", "Manual"), node("o", "Output"))
TOO_MUCH = "x" * (1024 * 1024)


async def events_of(service: Service, run_id: str) -> list[dict[str, Any]]:
    async with service.database.connection() as connection:
        rows = await connection.fetch("select event from runner.inbox where run_id = $1 order by inbox_seq", run_id)
    return [row["event"] for row in rows]


async def wake(service: Service, **fields: Any) -> str:
    answer = await service.stub.WakeUp(wake_request(**fields))
    return messages.WakeUpDisposition.Name(answer.disposition).removeprefix("WAKE_UP_DISPOSITION_")


async def test_a_wake_up_before_the_node_waits_is_kept_in_order(service: Service) -> None:
    run_id = await service.start(GRAPH)
    answers = [
        await service.stub.WakeUp(
            wake_request(run_id=run_id, node_id="m", event={"event_id": event_id, "payload": {"n": 7}})
        )
        for event_id in ("a", "b")
    ]
    assert [answer.disposition for answer in answers] == [messages.WAKE_UP_DISPOSITION_BUFFERED] * 2
    assert [answer.inbox_seq for answer in answers] == [1, 2]
    assert all(answer.success and answer.run_id == run_id and answer.message for answer in answers)
    assert [event["event_id"] for event in await events_of(service, run_id)] == ["a", "b"]


async def test_the_node_gets_the_event_with_all_its_attributes(service: Service, manual_clock: ManualClock) -> None:
    run_id = await service.start(GRAPH)
    event = {
        "event_id": "id",
        "source": "/ci/builds",
        "type": "com.example.done",
        "subject": "build 7",
        "occur_time": "2026-03-04T05:06:07.5Z",
        "payload": {"n": 3, "f": 0.5, "list": [None, True]},
        "trace_parent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "extensions": {"region": "eu"},
    }
    await wake(service, run_id=run_id, node_id="m", event=event)
    time = "2026-03-04T05:06:07.500000+00:00"
    assert await events_of(service, run_id) == [event | {"occur_time": time, "timestamp": time}]


async def test_an_event_without_anything_gets_an_id_and_the_time_of_its_receipt(
    service: Service, manual_clock: ManualClock
) -> None:
    run_id = await service.start(GRAPH)
    assert await wake(service, run_id=run_id, node_id="m") == "BUFFERED"
    assert await wake(service, run_id=run_id, node_id="m") == "BUFFERED"
    first, second = await events_of(service, run_id)
    assert first["event_id"] != second["event_id"]
    assert first["occur_time"] == manual_clock.now().isoformat()
    assert (first["source"], first["type"], first["payload"]) == ("", "", None)


async def test_the_same_event_again_is_a_duplicate_and_its_first_payload_stays(service: Service) -> None:
    run_id = await service.start(GRAPH)
    await wake(service, run_id=run_id, node_id="m", event={"event_id": "a", "payload": 1})
    answer = await service.stub.WakeUp(wake_request(run_id=run_id, node_id="m", event={"event_id": "a", "payload": 2}))
    assert (answer.success, answer.disposition) == (True, messages.WAKE_UP_DISPOSITION_DUPLICATE)
    assert await wake(service, run_id=run_id, node_id="m", event={"event_id": "a", "source": "other"}) == "BUFFERED"
    assert [event["payload"] for event in await events_of(service, run_id)] == [1, None]


async def test_what_cannot_be_delivered_is_told_by_its_disposition_and_changes_nothing(service: Service) -> None:
    run_id = await service.start(GRAPH)
    before = await service.rows()
    past = {"expire_time": "2001-01-01T00:00:00Z"}
    assert await wake(service, run_id=new_id(), node_id="m") == "NO_SUCH_RUN"
    assert await wake(service, run_id="not-an-id", node_id="m") == "NO_SUCH_RUN"
    assert await wake(service, run_id=run_id, node_id="m", experiment_id="e2") == "NO_SUCH_RUN"
    assert await wake(service, workflow_id="w2", node_id="m") == "NO_SUCH_RUN"
    assert await wake(service, workflow_id="w1", node_id="m", experiment_id="e2") == "NO_SUCH_RUN"
    assert await wake(service, run_id=run_id, node_id="nobody") == "NO_SUCH_NODE"
    assert await wake(service, run_id=run_id, node_id="m", event=past) == "EXPIRED"
    assert await wake(service, run_id=run_id, node_id="m", event={"payload": TOO_MUCH}) == "TOO_LARGE"
    assert await service.rows() == before


async def test_a_finished_run_takes_no_events_but_still_knows_those_it_has(service: Service) -> None:
    run_id = await service.start(GRAPH)
    await wake(service, run_id=run_id, node_id="m", event={"event_id": "a"})
    await service.stub.CancelRun(calls.CancelRunRequest(run_id=run_id))
    assert await wake(service, run_id=run_id, node_id="m", event={"event_id": "b"}) == "FINISHED"
    assert await wake(service, run_id=run_id, node_id="m", event={"event_id": "a"}) == "DUPLICATE"


async def test_ids_are_read_in_either_case(service: Service) -> None:
    run_id = await service.start(GRAPH)
    assert await wake(service, run_id=run_id.upper(), node_id="m") == "BUFFERED"
    assert await wake(service, run_id=run_id.upper(), node_id="m", experiment_id="e1") == "BUFFERED"


async def test_a_workflow_means_its_one_unfinished_run_and_a_repeat_never_another(service: Service) -> None:
    first = await service.start(GRAPH)
    request = wake_request(workflow_id="w1", node_id="m", event={"event_id": "a"})
    assert (await service.stub.WakeUp(request)).run_id == first
    await service.stub.CancelRun(calls.CancelRunRequest(run_id=first))
    second = await service.start(GRAPH)
    again = await service.stub.WakeUp(request)
    assert (again.run_id, again.disposition) == (first, messages.WAKE_UP_DISPOSITION_DUPLICATE)
    assert (await service.stub.WakeUp(wake_request(workflow_id="w1", node_id="m"))).run_id == second


async def test_a_workflow_with_several_unfinished_runs_is_ambiguous_and_wakes_none(service: Service) -> None:
    runs = [await service.start(GRAPH) for _ in range(2)]
    answer = await service.stub.WakeUp(wake_request(workflow_id="w1", node_id="m"))
    assert answer.disposition == messages.WAKE_UP_DISPOSITION_AMBIGUOUS
    assert not answer.success
    assert not answer.run_id
    assert all(run_id in answer.message for run_id in runs)
    assert (await service.rows())["inbox"] == 0


FAULTY: dict[str, tuple[dict[str, Any], set[str]]] = {
    "neither run nor workflow": ({"node_id": "m"}, {"run_id"}),
    "both run and workflow": ({"node_id": "m", "run_id": "r", "workflow_id": "w"}, {"run_id"}),
    "no node": ({"run_id": "r"}, {"node_id"}),
    "everything at once": (
        {
            "node_id": "m\0",
            "workflow_id": "w\0",
            "experiment_id": "e\0",
            "event": {
                "event_id": "i" * 501,
                "source": "wakepoint/timer",
                "subject": "s\0",
                "priority": 101,
                "payload": {"a": ["\0"]},
                "extensions": {"x": "\0"},
            },
        },
        {
            "node_id",
            "workflow_id",
            "experiment_id",
            "event.event_id",
            "event.source",
            "event.subject",
            "event.priority",
            "event.payload.a[0]",
            "event.extensions.x",
        },
    ),
    "a priority that is too low": ({"run_id": "r", "node_id": "m", "event": {"priority": -101}}, {"event.priority"}),
}


@pytest.mark.parametrize(("fields", "named"), FAULTY.values(), ids=[name.replace(" ", "-") for name in FAULTY])
async def test_a_wake_up_that_is_not_well_formed_is_refused_naming_every_fault(
    service: Service, fields: dict[str, Any], named: set[str]
) -> None:
    error = await refusal(service.stub.WakeUp(wake_request(**fields)))
    assert isinstance(error, InvalidArgument)
    assert set(faulty_fields(error)) == named


async def test_values_that_cannot_be_read_are_named_with_the_other_faults(service: Service) -> None:
    request = wake_request(run_id="r")
    request.event.payload.number_value = float("nan")
    request.event.occur_time.seconds = 10**15
    request.event.expire_time.nanos = -1
    error = await refusal(service.stub.WakeUp(request))
    assert set(faulty_fields(error)) == {"node_id", "event.payload", "event.occur_time", "event.expire_time"}


async def test_each_wake_up_of_a_batch_is_answered_in_order_and_fails_alone(service: Service) -> None:
    run_id = await service.start(GRAPH)
    request = calls.BatchWakeUpRequest(
        wake_ups=[
            wake_request(run_id=run_id, node_id="m", event={"event_id": "a"}),
            wake_request(run_id=run_id),
            wake_request(run_id=run_id, node_id="m", event={"event_id": "a"}),
            wake_request(run_id=run_id, node_id="nobody"),
            wake_request(workflow_id="w1", node_id="m", event={"event_id": "b"}),
        ]
    )
    results = (await service.stub.BatchWakeUp(request)).results
    assert [plain(result).get("disposition", "-").removeprefix("WAKE_UP_DISPOSITION_") for result in results] == [
        "BUFFERED",
        "-",
        "DUPLICATE",
        "NO_SUCH_NODE",
        "BUFFERED",
    ]
    assert [result.success for result in results] == [True, False, True, False, True]
    error = from_status(results[1].error)
    assert error is not None
    assert faulty_fields(error) == ["node_id"]
    assert [event["event_id"] for event in await events_of(service, run_id)] == ["a", "b"]


async def test_a_batch_of_more_than_a_thousand_wake_ups_is_refused_as_a_whole(service: Service) -> None:
    request = calls.BatchWakeUpRequest(wake_ups=[calls.WakeUpRequest()] * 1001)
    assert faulty_fields(await refusal(service.stub.BatchWakeUp(request))) == ["wake_ups"]
