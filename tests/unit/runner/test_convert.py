"""Enums both ways, and what the edges of a conversion do."""

from datetime import UTC, datetime
from enum import StrEnum

import pytest
from google.protobuf import json_format
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from hypothesis import given
from hypothesis import strategies as st

from runner_service.domain.node_status import NodeCondition, statuses_of
from runner_service.domain.projection import NodeRecord, NodeState, RunProjection, RunState
from runner_service.domain.runs import Disposition, Wait, WaitHealth
from runner_service.domain.trigger_events import MAX_IDENTITY_BYTES, TriggerEvent, faults_of, size_of
from runner_service.rpc.convert.events import DISPOSITIONS, event_of, wake_up_of
from runner_service.rpc.convert.graphs import graph_of
from runner_service.rpc.convert.runs import NODE_STATES, RUN_STATES, error_text
from runner_service.rpc.convert.starts import DISPOSITIONS as START_DISPOSITIONS
from runner_service.rpc.convert.starts import batch_of, start_request_of
from runner_service.rpc.convert.suspended import HEALTHS
from runner_service.usecases.start_runs import StartDisposition
from wakepoint.event.v1.event_pb2 import Event
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.workflow.v1 import execution_pb2 as execution
from wakepoint.workflow.v1.graph_pb2 import Graph

NOW = datetime(2026, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ours", "table", "theirs"),
    [
        (RunState, RUN_STATES, execution.RunState),
        (NodeCondition, NODE_STATES, messages.NodeState),
        (Disposition, DISPOSITIONS, messages.WakeUpDisposition),
        (StartDisposition, START_DISPOSITIONS, messages.StartRunDisposition),
        (WaitHealth, HEALTHS, messages.WaitHealth),
    ],
)
def test_every_member_has_the_number_of_its_name_and_every_number_a_member(
    ours: type[StrEnum], table: dict[StrEnum, int], theirs: EnumTypeWrapper
) -> None:
    assert set(table) == set(ours)
    assert all(theirs.Name(number).endswith(f"_{member}") for member, number in table.items())
    named = {theirs.Name(number) for number in table.values()}
    assert {name for name, number in theirs.items() if number} == named


def test_every_state_of_a_node_has_a_condition() -> None:
    assert {state.value for state in NodeState} <= {condition.value for condition in NodeCondition}


def test_only_a_running_node_with_a_hot_wait_in_its_newest_activation_waits() -> None:
    projection = RunProjection(
        nodes={
            "hot": {"1": NodeRecord(NodeState.COMPLETED), "2": NodeRecord(NodeState.RUNNING)},
            "stale": {"1": NodeRecord(NodeState.COMPLETED), "2": NodeRecord(NodeState.RUNNING)},
            "cold": {"1": NodeRecord(NodeState.SUSPENDED)},
        }
    )
    waits = [
        Wait("r", "hot", "2", suspended=False, wake_time=None),
        Wait("r", "stale", "1", suspended=False, wake_time=None),
        Wait("r", "cold", "1", suspended=True, wake_time=None),
    ]
    statuses = statuses_of(projection, ["hot", "stale", "cold", "not begun"], waits)
    assert {node_id: status.condition for node_id, status in statuses.items()} == {
        "hot": NodeCondition.WAITING,
        "stale": NodeCondition.RUNNING,
        "cold": NodeCondition.SUSPENDED,
        "not begun": NodeCondition.PENDING,
    }
    assert [status.activation for status in statuses.values()] == ["2", "2", "1", ""]


def test_what_a_graph_leaves_out_gets_its_default() -> None:
    graph = json_format.ParseDict({"nodes": [{"id": "a", "type": "T"}], "edges": [{"source": "a"}]}, Graph())
    found, faults = graph_of(graph)
    assert not faults
    assert found == {
        "nodes": [{"id": "a", "type": "T", "properties": {}}],
        "edges": [{"source": "a", "target": ""}],
    }


def test_all_of_a_graph_is_read() -> None:
    node = {
        "id": "a",
        "type": "T",
        "properties": {"n": 3, "f": 0.5},
        "timeout": "1.5s",
        "retry": {"maxAttempts": 3, "initialBackoff": "0.1s", "maxBackoff": "60s"},
    }
    edge = {"source": "a", "sourceOutput": "o", "target": "b", "targetInput": "i"}
    found, faults = graph_of(json_format.ParseDict({"nodes": [node], "edges": [edge]}, Graph()))
    assert not faults
    assert found["nodes"][0]["properties"] == {"n": 3, "f": 0.5}
    assert isinstance(found["nodes"][0]["properties"]["n"], int)
    assert found["nodes"][0]["timeout_seconds"] == 1.5
    assert found["nodes"][0]["retry"] == {
        "max_attempts": 3,
        "initial_backoff_seconds": 0.1,
        "max_backoff_seconds": 60.0,
    }
    assert found["edges"] == [{"source": "a", "source_output": "o", "target": "b", "target_input": "i"}]


def test_what_cannot_be_read_leaves_the_rest_readable() -> None:
    graph = Graph()
    graph.nodes.add(id="a", type="T").timeout.nanos = -1
    graph.nodes.add(id="b", type="T").retry.max_backoff.seconds = 10**15
    graph.nodes.add(id="c", type="T").properties.fields["x"].number_value = float("nan")
    found, faults = graph_of(graph)
    assert [node["id"] for node in found["nodes"]] == ["a", "b", "c"]
    assert [fault.field for fault in faults] == [
        "graph.nodes[0].timeout",
        "graph.nodes[1].retry.max_backoff",
        "graph.nodes[2].properties.x",
    ]


@given(st.binary(max_size=300))
def test_any_graph_that_can_be_parsed_is_read_without_an_error(data: bytes) -> None:
    graph = Graph()
    try:
        graph.ParseFromString(data)
    except Exception:  # noqa: BLE001 -- not a message at all
        return
    found, _ = graph_of(graph)
    assert len(found["nodes"]) == len(graph.nodes)


def test_a_source_holds_only_what_was_said() -> None:
    assert start_request_of(calls.StartRunRequest()).source == {}
    source = messages.RunSource(trigger_type="TRAIN")
    assert start_request_of(calls.StartRunRequest(source=source)).source == {"trigger_type": "TRAIN"}


def test_a_batch_reads_each_graph_once_and_only_those_that_are_named() -> None:
    batch = calls.BatchStartRunsRequest(
        graphs={"a": Graph(), "unused": Graph()},
        requests=[calls.StartRunRequest(graph_hash="a"), calls.StartRunRequest(graph_hash="b")],
    )
    requests, graphs = batch_of(batch)
    assert set(graphs) == {"a"}
    assert [request.graph for request in requests] == [None, None]


def test_an_event_without_a_time_happened_when_it_was_received_and_gets_an_id() -> None:
    event, faults = event_of(Event(), NOW)
    assert not faults
    assert event.occur_time == NOW
    assert event.event_id
    assert event.expire_time is None


def test_no_experiment_means_any() -> None:
    assert wake_up_of(calls.WakeUpRequest(), NOW).experiment_id is None
    assert wake_up_of(calls.WakeUpRequest(experiment_id="e"), NOW).experiment_id == "e"


def test_identities_are_measured_in_bytes() -> None:
    fits = "é" * (MAX_IDENTITY_BYTES // 2)
    assert not faults_of(TriggerEvent(fits, fits, "", None, NOW))
    too_long = TriggerEvent(fits + "é", fits + "é", "", None, NOW)
    assert [fault.field for fault in faults_of(too_long)] == ["event.event_id", "event.source"]


def test_the_size_of_an_event_is_that_of_its_json() -> None:
    small, large = (size_of(TriggerEvent("e", "s", "t", "é" * count, NOW)) for count in (0, 1000))
    assert large - small == 2000


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, ""),
        ({"type": "Cancelled", "message": "because"}, "because"),
        ({"type": "NodeError", "message": "no", "traceback": "long", "node_id": "n"}, "node n: no"),
        ({"type": "ValueError", "message": "no"}, "ValueError: no"),
    ],
)
def test_an_error_is_one_line(error: dict[str, str] | None, text: str) -> None:
    assert error_text(error) == text
