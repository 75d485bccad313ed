"""Faulty graphs: named fault by fault by ValidateGraph, refused by StartRun, and nothing of them is stored."""

from typing import Any

import pytest

from tests.integration.runner.rpc.harness import Service, faulty_fields, graph_message, refusal, start_request
from tests.support.runner import chain, edge, node
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.runner.v1 import runner_service_pb2 as calls

A, B = node("a", "Constant", value=1), node("b", "Output")

FAULTY: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no nodes": ({}, {"graph.nodes"}),
    "an unknown node type": (chain(A, node("b", "Nothing")), {"graph.nodes[1].type"}),
    "two nodes with one id": ({"nodes": [A, A]}, {"graph.nodes[1].id"}),
    "a node without an id": ({"nodes": [node("", "Output")]}, {"graph.nodes[0].id"}),
    "a cycle": (
        {"nodes": [node("a", "Manual"), node("b", "Manual")], "edges": [edge("a", "b"), edge("b", "a")]},
        {"graph.edges"},
    ),
    "an edge to and from nowhere": (
        {"nodes": [A, B], "edges": [edge("a", "x"), edge("y", "b")]},
        {"graph.edges[0].target", "graph.edges[1].source"},
    ),
    "an output that is not there": (
        {"nodes": [A, B], "edges": [edge("a", "b", source_output="nope")]},
        {"graph.edges[0].source_output"},
    ),
    "two values on one input": (
        {"nodes": [A, node("c", "Constant", value=2), B], "edges": [edge("a", "b"), edge("c", "b")]},
        {"graph.edges[1].target_input"},
    ),
    "properties of the wrong type": (
        {
            "nodes": [
                node("i", "Interval", interval_seconds="often"),
                node("m", "Manual", max_events=1.5),
                node("w", "Webhook", methods=["FETCH"]),
            ]
        },
        {
            "graph.nodes[0].properties.interval_seconds",
            "graph.nodes[1].properties.max_events",
            "graph.nodes[2].properties.methods[0]",
        },
    ),
    "a property that is missing or unknown": (
        {"nodes": [node("e", "Expression"), node("m", "Manual", what=1)]},
        {"graph.nodes[0].properties.expression", "graph.nodes[1].properties.what"},
    ),
    "invalid CEL": (
        {"nodes": [node("e", "Expression", expression="1 +"), node("c", "Constant", value="${inputs.}")]},
        {"graph.nodes[0].properties.expression", "graph.nodes[1].properties.value"},
    ),
    "an invalid cron": ({"nodes": [node("s", "Schedule", cron="every day")]}, {"graph.nodes[0].properties.cron"}),
    "an unknown time zone": (
        {"nodes": [node("s", "Schedule", cron="0 9 * * *", time_zone="Mars/Base")]},
        {"graph.nodes[0].properties.time_zone"},
    ),
    "NULs wherever text can stand": (
        {
            "nodes": [node("a\0", "Constant", value={"deep": ["x\0"]}), node("b", "Output\0")],
            "edges": [edge("a\0", "b", target_input="i\0")],
        },
        {
            "graph.nodes[0].id",
            "graph.nodes[0].properties.value.deep[0]",
            "graph.nodes[1].type",
            "graph.edges[0].source",
            "graph.edges[0].target_input",
        },
    ),
    "spans that are none": (
        {
            "nodes": [
                A | {"timeout": "0s", "retry": {"maxAttempts": 1001, "maxBackoff": "-1s"}},
                B | {"timeout": "-1s"},
            ]
        },
        {
            "graph.nodes[0].timeout",
            "graph.nodes[0].retry.max_attempts",
            "graph.nodes[0].retry.max_backoff",
            "graph.nodes[1].timeout",
        },
    ),
}


@pytest.mark.parametrize(("graph", "fields"), FAULTY.values(), ids=[name.replace(" ", "-") for name in FAULTY])
async def test_a_faulty_graph_is_answered_with_every_fault_and_never_stored(
    service: Service, graph: dict[str, Any], fields: set[str]
) -> None:
    answer = await service.stub.ValidateGraph(calls.ValidateGraphRequest(graph=graph_message(graph)))
    assert {violation.field for violation in answer.violations} == fields
    error = await refusal(service.stub.StartRun(start_request(graph, requestId="r")))
    assert isinstance(error, InvalidArgument)
    assert set(faulty_fields(error)) == fields
    assert set((await service.rows()).values()) == {0}


async def test_numbers_that_json_does_not_have_are_faults(service: Service) -> None:
    graph = graph_message({"nodes": [A]})
    graph.nodes[0].properties.fields["value"].number_value = float("inf")
    answer = await service.stub.ValidateGraph(calls.ValidateGraphRequest(graph=graph))
    assert [violation.field for violation in answer.violations] == ["graph.nodes[0].properties.value"]


async def test_a_sound_graph_has_no_faults(service: Service) -> None:
    graph = {
        "nodes": [
            A | {"timeout": "1.5s", "retry": {"maxAttempts": 0, "initialBackoff": "0.1s", "maxBackoff": "2s"}},
            node("s", "Schedule", cron="0 9 * * *", time_zone="Europe/Berlin"),
            node("e", "Expression", expression="inputs.input.payload"),
            B,
        ],
        "edges": [edge("a", "s"), edge("s", "e"), edge("e", "b", source_output="output", target_input="input")],
    }
    answer = await service.stub.ValidateGraph(calls.ValidateGraphRequest(graph=graph_message(graph)))
    assert not answer.violations


async def test_two_outputs_of_one_branch_may_meet_on_one_input(service: Service) -> None:
    graph = {
        "nodes": [node("b", "Branch", condition="true"), node("o", "Output")],
        "edges": [edge("b", "o", source_output="true"), edge("b", "o", source_output="false")],
    }
    answer = await service.stub.ValidateGraph(calls.ValidateGraphRequest(graph=graph_message(graph)))
    assert not answer.violations


async def test_the_node_types_on_offer_are_listed_by_name_with_their_schemas(service: Service) -> None:
    listed = (await service.stub.ListNodeTypes(calls.ListNodeTypesRequest())).node_types
    names = [described.type for described in listed]
    assert names == sorted(names)
    offered = {described.type: described for described in listed}
    assert {"Constant", "Expression", "Output", "Delay", "Manual", "Webhook", "Approval", "Interval"} <= set(offered)
    approval = offered["Approval"]
    assert approval.kind == "trigger"
    assert list(approval.outputs) == ["approved", "rejected"]
    assert "person" in approval.description
    assert "approvers" in approval.properties_schema.fields["properties"].struct_value.fields
