"""Every reason why a graph cannot be executed, each with the path of the field at fault."""

import time

import pytest
from pydantic import ValidationError

from runner_service.domain import validation
from runner_service.domain.graph import Edge, Graph, GraphNode
from runner_service.domain.validation import violations_of
from tests.unit.runner.graphs import TYPES, branch, graph, trigger, work


def faults(checked: Graph) -> dict[str, str]:
    return {fault.field: fault.description for fault in violations_of(checked, TYPES)}


def test_a_sound_graph_has_no_faults() -> None:
    assert faults(graph((*work("a", "b"), trigger("t", 0), branch("x")), "a>t", "t>x", "x.true>b", "x.false>b")) == {}


def test_an_empty_graph_is_refused() -> None:
    assert faults(Graph()) == {"graph.nodes": "must not be empty"}


def test_ids_must_be_there_short_and_unique() -> None:
    found = faults(graph(work("", "x" * 201, "a", "a")))
    assert found == {
        "graph.nodes[0].id": "must not be empty",
        "graph.nodes[1].id": "must have at most 200 characters",
        "graph.nodes[3].id": "duplicate node id: a",
    }


def test_an_unknown_type_and_faulty_properties_are_named() -> None:
    nodes = (GraphNode(id="a", type="Nonesuch"), GraphNode(id="b", type="Strict"))
    assert faults(Graph(nodes=nodes)) == {
        "graph.nodes[0].type": "unknown node type: Nonesuch",
        "graph.nodes[1].properties.value": "field required",
    }


def test_edges_to_nowhere_are_named_at_both_ends() -> None:
    assert faults(graph(work("a"), "ghost>phantom")) == {
        "graph.edges[0].source": "no node has the id 'ghost'",
        "graph.edges[0].target": "no node has the id 'phantom'",
    }


def test_outputs_and_inputs_that_do_not_exist_are_named_with_those_that_do() -> None:
    found = faults(graph((*work("a"), GraphNode(id="o", type="Output"), branch("x")), "x.maybe>a", "a>o.side"))
    assert found["graph.edges[0].source_output"] == "'x' has no output 'maybe' (it has: true, false)"
    assert found["graph.edges[1].target_input"] == "'o' has no input 'side' (it has: input)"


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        (("a>b", "b>c", "c>a"), "a -> b -> c -> a"),
        (("a>a",), "a -> a"),
        (("a>b", "b>c", "c>b", "c>d"), "b -> c -> b"),
    ],
)
def test_a_cycle_is_named_in_its_order(edges: tuple[str, ...], cycle: str) -> None:
    assert faults(graph(work("a", "b", "c", "d"), *edges))["graph.edges"] == f"the graph has a cycle: {cycle}"


def test_faults_of_all_kinds_are_told_at_once() -> None:
    nodes = (*work("a", "b", "c"), GraphNode(id="s", type="Strict"))
    found = faults(graph(nodes, "a>b", "b>a", "a>c.input", "b>c.input", "ghost>c"))
    assert set(found) == {
        "graph.nodes[3].properties.value",
        "graph.edges[4].source",
        "graph.edges",
        "graph.edges[3].target_input",
    }


def test_two_values_on_one_input_are_refused() -> None:
    found = faults(graph(work("a", "b", "c"), "a>c.input", "b>c.input"))
    assert found == {"graph.edges[1].target_input": "input 'input' of 'c' already gets a value from 'a'"}


def test_the_outputs_of_one_branch_may_meet_on_one_input() -> None:
    assert faults(graph((*work("c"), branch("x")), "x.true>c.input", "x.false>c.input")) == {}


def test_the_same_output_of_a_branch_twice_on_one_input_is_refused() -> None:
    found = faults(graph((*work("c"), branch("x")), "x.true>c.input", "x.true>c.input"))
    assert list(found) == ["graph.edges[1].target_input"]


def test_outputs_that_may_both_come_must_not_meet_on_one_input() -> None:
    nodes = (*work("c"), GraphNode(id="f", type="Fork"))
    found = faults(graph(nodes, "f.left>c.input", "f.right>c.input"))
    assert list(found) == ["graph.edges[1].target_input"]


def test_outputs_of_two_branches_must_not_meet_on_one_input() -> None:
    found = faults(graph((*work("c"), branch("x"), branch("y")), "x.true>c.input", "y.false>c.input"))
    assert list(found) == ["graph.edges[1].target_input"]


@pytest.mark.parametrize("max_events", [0, 2])
def test_a_join_of_independent_triggers_is_refused_when_one_repeats(max_events: int) -> None:
    found = faults(graph((*work("join"), trigger("t1", max_events), trigger("t2")), "t1>join", "t2>join"))
    assert found == {
        "graph.nodes[0]": "'join' stands behind the independent triggers 't1' and 't2', so both need max_events = 1"
    }


def test_a_join_of_independent_triggers_that_take_one_event_each_is_fine() -> None:
    assert faults(graph((*work("join"), trigger("t1"), trigger("t2")), "t1>join", "t2>join")) == {}


def test_a_trigger_behind_independent_repeating_triggers_is_refused_too() -> None:
    found = faults(graph((trigger("inner"), trigger("t1", 0), trigger("t2", 0)), "t1>inner", "t2>inner"))
    assert list(found) == ["graph.nodes[0]"]


def test_independent_triggers_inside_a_repeating_one_may_join() -> None:
    nodes = (*work("join"), trigger("outer", 0), trigger("t1"), trigger("t2"))
    assert faults(graph(nodes, "outer>t1", "outer>t2", "t1>join", "t2>join")) == {}


def test_repeating_triggers_of_one_chain_may_meet_again() -> None:
    nodes = (*work("join"), trigger("outer", 0), trigger("inner", 3))
    assert faults(graph(nodes, "outer>inner", "inner>join", "outer>join")) == {}


def test_repeating_triggers_that_never_meet_are_fine() -> None:
    assert faults(graph((*work("a", "b"), trigger("t1", 0), trigger("t2", 0)), "t1>a", "t2>b")) == {}


def test_too_many_nodes_or_triggers_are_refused_before_they_cost_anything() -> None:
    many = tuple(GraphNode(id=str(n), type="Work") for n in range(validation.MAX_NODES + 1))
    assert faults(Graph(nodes=many)) == {"graph.nodes": "at most 10000 nodes, not 10001"}
    triggers = tuple(trigger(str(n)) for n in range(1001))
    assert list(faults(Graph(nodes=triggers))) == ["graph.nodes"]


def test_the_largest_chain_of_repeating_triggers_is_checked_in_bearable_time() -> None:
    triggers = tuple(trigger(str(n), 0) for n in range(1000))
    edges = tuple(Edge(source=str(n), target=str(n + 1)) for n in range(999))
    began = time.process_time()
    assert faults(Graph(nodes=triggers, edges=edges)) == {}
    assert time.process_time() - began < 5


def test_retry_and_timeout_have_bounds() -> None:
    for wrong in ({"timeout_seconds": 0}, {"retry": {"max_attempts": 0}}, {"retry": {"initial_backoff_seconds": -1}}):
        with pytest.raises(ValidationError):
            GraphNode.model_validate({"id": "a", "type": "Work", **wrong})


def test_equal_graphs_have_equal_hashes_whatever_the_order_of_their_keys() -> None:
    one = Graph(nodes=(GraphNode(id="a", type="Work", properties={"x": 1, "y": [2]}),))
    same = Graph.model_validate({"nodes": [{"properties": {"y": [2], "x": 1}, "type": "Work", "id": "a"}]})
    other = Graph(nodes=(GraphNode(id="a", type="Work", properties={"x": 1, "y": [3]}),))
    assert one.content_hash() == same.content_hash() != other.content_hash()
