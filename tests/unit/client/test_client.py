"""What the asynchronous client makes of what it is given, and of what it is answered."""

import logging
from collections.abc import AsyncIterator

import pytest

from tests.unit.client.fakes import Services
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.errors import Aborted, ResourceExhausted
from wakepoint.client import (
    Client,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unimplemented,
    to_python,
)
from wakepoint.client.channels import runner_address, trigger_address
from wakepoint.client.watching import follow
from wakepoint.runner.v1.runner_pb2 import RunEvent
from wakepoint.trigger.v1.trigger_pb2 import TriggerConfig

GRAPH = {"nodes": [{"id": "one", "type": "Constant", "properties": {"value": 1}}]}


async def test_a_workflow_is_created_from_json_with_the_triggers_that_are_named(
    client: Client, services: Services
) -> None:
    triggers = {"TRAIN": {"condition": "true", "delay": "5s"}, "EVAL": False}
    await client.create_workflow(experiment_id="e", name="n", graph=GRAPH, triggers=triggers)
    (request,) = services.requests
    assert to_python(request.graph.nodes[0].properties) == {"value": 1}
    train, evaluation = request.trigger_configs
    assert (train.trigger_type, train.is_enabled, train.condition, train.delay.seconds) == ("TRAIN", True, "true", 5)
    assert (evaluation.trigger_type, evaluation.HasField("is_enabled"), evaluation.is_enabled) == ("EVAL", True, False)


async def test_triggers_may_be_named_or_given_as_messages(client: Client, services: Services) -> None:
    await client.create_workflow(experiment_id="e", name="n", graph=GRAPH, triggers=["EVAL"])
    assert [(c.trigger_type, c.is_enabled) for c in services.requests[-1].trigger_configs] == [("EVAL", True)]
    config = TriggerConfig(trigger_type="EVAL", is_enabled=True, max_firings=3)
    await client.create_workflow(experiment_id="e", name="n", graph=GRAPH, triggers={"EVAL": config})
    assert list(services.requests[-1].trigger_configs) == [config]


async def test_an_update_says_every_trigger(client: Client, services: Services) -> None:
    await client.update_trigger_configs("w", ["TRAIN"], etag="1")
    request = services.requests[-1]
    told = {config.trigger_type: config.is_enabled for config in request.configs}
    assert told == {"TRAIN": True, "EVAL": False, "FINETUNE": True}
    assert request.etag == "1"


async def test_warnings_are_logged(client: Client, services: Services, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "wakepoint.client"):
        await client.create_workflow(experiment_id="e", name="n", graph=GRAPH)
    assert "it looks odd" in caplog.text


async def test_what_is_no_graph_is_refused_before_it_is_sent(client: Client, services: Services) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await client.create_workflow(experiment_id="e", name="n", graph={"nodes": [{"ident": "one"}]})
    assert [violation.field for violation in caught.value.violations] == ["graph"]
    with pytest.raises(InvalidArgument):
        await client.create_workflow(experiment_id="e", name="n", graph=GRAPH, triggers={"TRAIN": {"delay": "soon"}})
    assert services.requests == []


async def test_a_call_that_meets_no_service_is_repeated_with_the_same_key(client: Client, services: Services) -> None:
    services.failures = [Unavailable("away"), Unavailable("away")]
    await client.create_workflow(experiment_id="e", name="n", graph=GRAPH)
    assert len(services.requests) == 3
    assert len({request.request_id for request in services.requests}) == 1
    assert services.requests[0].request_id


async def test_two_wake_ups_are_two_events_unless_the_caller_says_otherwise(client: Client, services: Services) -> None:
    for _ in range(2):
        answer = await client.wake_up(run_id="r", node_id="n", payload={"approved": True})
        assert answer.success
    await client.wake_up(run_id="r", node_id="n", event_id="mine")
    first, second, third = (request.event for request in services.requests)
    assert first.event_id != second.event_id
    assert to_python(first.payload) == {"approved": True}
    assert third.event_id == "mine"


async def test_pages_are_walked_to_the_end(client: Client, services: Services) -> None:
    found = [workflow.workflow_id async for workflow in client.list_workflows(experiment_id="e")]
    assert found == ["w0a", "w0b", "w1a", "w1b", "w2a", "w2b"]
    assert [request.page_token for request in services.requests] == ["", "1", "2"]
    assert {request.experiment_id for request in services.requests} == {"e"}


async def test_errors_come_with_reason_metadata_and_violations(client: Client, services: Services) -> None:
    services.failures = [NotFound("run r does not exist", reason="RUN_NOT_FOUND", run_id="r")]
    with pytest.raises(NotFound) as missing:
        await client.get_run("r")
    assert (missing.value.reason, missing.value.metadata) == ("RUN_NOT_FOUND", {"run_id": "r"})
    services.failures = [InvalidArgument.of("run_id", "must be a UUID")]
    with pytest.raises(InvalidArgument) as invalid:
        await client.get_run("r")
    assert [(v.field, v.description) for v in invalid.value.violations] == [("run_id", "must be a UUID")]


@pytest.mark.parametrize("kind", [Aborted, ResourceExhausted, Unimplemented])
async def test_every_kind_of_error_arrives_as_itself(
    client: Client, services: Services, kind: type[Aborted | ResourceExhausted | Unimplemented]
) -> None:
    services.failures = [kind("no")]
    with pytest.raises(kind):
        await client.get_run("r")


async def test_a_method_that_a_service_does_not_have_is_unimplemented(client: Client) -> None:
    with pytest.raises(Unimplemented):
        await client.list_node_types()


async def test_no_answer_in_time_is_told_apart_from_no_service(services: Services) -> None:
    services.silent = True
    async with Client(runner_address=services.address, timeout=0.2) as client:
        with pytest.raises(DeadlineExceeded):
            await client.get_run("r")


async def test_nobody_listening_is_unavailable_and_says_where(unused_tcp_port: int) -> None:
    async with Client(runner_address=f"127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(Unavailable, match=str(unused_tcp_port)):
            await client.get_run("r")


async def test_a_log_is_followed_without_gaps_over_streams_that_break(client: Client, services: Services) -> None:
    services.entries_per_stream = 3
    seen = [entry.seq async for entry in client.watch_run("r")]
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert [request.after_seq for request in services.requests] == [0, 3, 6]


async def test_a_log_is_followed_from_where_one_knows_it(client: Client) -> None:
    assert [entry.seq async for entry in client.watch_run("r", after_seq=5)] == [6, 7]


class HurriedClock(ManualClock):
    """Time passes when somebody waits for it."""

    async def sleep(self, seconds: float) -> None:
        await self.advance(seconds)


async def test_following_gives_up_when_no_runner_comes_back() -> None:
    clock = HurriedClock()
    begin = clock.monotonic()

    async def broken(after: int) -> AsyncIterator[RunEvent]:
        raise Unavailable("away")
        yield RunEvent()

    with pytest.raises(Unavailable):
        async for _ in follow(broken, 0, 30.0, clock):
            pass
    assert 20 < clock.monotonic() - begin <= 30


def test_addresses_come_from_the_caller_then_the_environment_then_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAKEPOINT_TRIGGER_ADDRESS", raising=False)
    monkeypatch.setenv("WAKEPOINT_RUNNER_ADDRESS", "runner:1")
    assert (trigger_address(), runner_address()) == ("localhost:50051", "runner:1")
    assert runner_address("other:2") == "other:2"
