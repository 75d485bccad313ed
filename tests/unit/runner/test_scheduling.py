"""What may run next."""

from runner_service.domain.graph import Graph, GraphNode
from runner_service.domain.history import EventType, node_failed
from runner_service.domain.plan import GraphPlan
from runner_service.domain.projection import NodeState
from runner_service.domain.scheduling import closed_nodes, following, run_outputs, takes_no_more
from tests.unit.runner.graphs import TYPES, branch, graph, trigger, work
from tests.unit.runner.simulator import Simulator


def simulate(checked: Graph, taken: str = "true") -> Simulator:
    simulator = Simulator(GraphPlan.of(checked, TYPES), lambda _node, _activation: taken)
    simulator.start()
    return simulator


def finish(simulator: Simulator, *node_ids: str) -> None:
    """Each named node ends, in the activation in which it runs."""
    for node_id in node_ids:
        simulator.finish(next(place for place in simulator.running if place[0] == node_id))


def test_nodes_without_order_between_them_run_at_once() -> None:
    simulator = simulate(graph(work("a", "b", "c"), "a>b", "a>c"))
    assert simulator.running == [("a", "0")]
    finish(simulator, "a")
    assert simulator.running == [("b", "0"), ("c", "0")]


def test_an_uneven_diamond_joins_once_and_last() -> None:
    simulator = simulate(graph(work("a", "short", "long1", "long2", "join"), "a>short", "a>long1", "long1>long2",
                               "short>join", "long2>join"))  # fmt: skip
    finish(simulator, "a", "short")
    assert ("join", "0") not in simulator.running
    finish(simulator, "long1", "long2")
    assert simulator.running == [("join", "0")]
    finish(simulator, "join")
    assert simulator.begun.count(("join", "0")) == 1


def test_what_stands_behind_a_branch_not_taken_is_skipped_to_its_end() -> None:
    simulator = simulate(graph((*work("yes", "no", "after"), branch("x")), "x.true>yes", "x.false>no", "no>after"))
    finish(simulator, "x")
    assert simulator.running == [("yes", "0")]
    for node_id in ("no", "after"):
        record = simulator.projection.record(node_id, "0")
        assert record is not None
        assert record.state is NodeState.SKIPPED


def test_a_join_runs_when_one_of_its_sides_was_skipped() -> None:
    simulator = simulate(graph((*work("yes", "no", "join"), branch("x")), "x.true>yes", "x.false>no", "yes>join",
                               "no>join"))  # fmt: skip
    finish(simulator, "x", "yes")
    assert simulator.running == [("join", "0")]


def test_a_trigger_takes_its_next_event_only_when_everything_behind_it_is_done() -> None:
    simulator = simulate(graph((*work("a", "b"), trigger("t", 3)), "t>a", "a>b"))
    finish(simulator, "t", "a")
    assert simulator.running == [("b", "1")]
    finish(simulator, "b")
    assert simulator.running == [("t", "2")]
    finish(simulator, "t", "a", "b", "t", "a", "b")
    assert simulator.running == []
    assert simulator.begun.count(("b", "3")) == 1


def test_a_trigger_without_anything_behind_it_waits_again_at_once() -> None:
    simulator = simulate(graph((trigger("t", 0),)))
    finish(simulator, *["t"] * 50)
    assert simulator.running == [("t", "51")]


def test_a_nested_trigger_starts_anew_in_each_activation_of_its_outer_one() -> None:
    simulator = simulate(graph((*work("w"), trigger("outer", 2), trigger("inner", 2)), "outer>inner", "inner>w"))
    finish(simulator, "outer", "inner", "w", "inner")
    assert simulator.running == [("w", "1.2")]
    finish(simulator, "w")
    assert simulator.running == [("outer", "2")]
    finish(simulator, "outer")
    assert simulator.running == [("inner", "2.1")]


def test_a_join_of_two_independent_triggers_joins_once() -> None:
    simulator = simulate(graph((*work("join"), trigger("t1"), trigger("t2")), "t1>join", "t2>join"))
    finish(simulator, "t2")
    assert simulator.running == [("t1", "1")]
    finish(simulator, "t1")
    assert simulator.running == [("join", "1")]
    finish(simulator, "join")
    assert simulator.running == []


def test_a_node_before_the_trigger_is_read_in_every_activation() -> None:
    simulator = simulate(graph((*work("before", "w"), trigger("t", 2)), "before>w", "t>w"))
    finish(simulator, "t")
    assert simulator.running == [("before", "0")]
    finish(simulator, "before", "w", "t", "w")
    assert [place for place in simulator.begun if place[0] == "w"] == [("w", "1"), ("w", "2")]


def test_an_activation_is_not_over_while_a_join_behind_a_skipped_trigger_runs() -> None:
    # The join belongs to the skipped trigger's scope and yet runs, for its other input.
    nodes = (*work("join", "leaf"), branch("x"), trigger("outer", 0), trigger("skipped"))
    simulator = simulate(graph(nodes, "outer>x", "outer>leaf", "x.false>skipped", "skipped>join", "x.true>join"))
    finish(simulator, "outer", "x", "leaf")
    assert simulator.running == [("join", "1.1")]
    finish(simulator, "join")
    assert simulator.running == [("outer", "2")]


def test_nothing_follows_a_node_that_failed() -> None:
    simulator = simulate(graph(work("a", "b"), "a>b"))
    simulator.write(node_failed("a", "0", {"type": "E", "message": "m", "traceback": ""}))
    simulator.advance(following(simulator.plan, simulator.projection, "a", "0"))
    assert simulator.begun == [("a", "0")]


def test_a_trigger_is_closed_when_it_has_its_events_and_a_nested_one_never_before_the_end() -> None:
    simulator = simulate(graph((trigger("outer", 2), trigger("inner")), "outer>inner"))
    finish(simulator, "outer")
    assert not takes_no_more(simulator.plan, simulator.projection, "outer")
    finish(simulator, "inner", "outer")
    assert takes_no_more(simulator.plan, simulator.projection, "outer")
    finish(simulator, "inner")
    assert closed_nodes(simulator.plan, simulator.projection) == ["outer"]


def test_a_skipped_trigger_is_closed() -> None:
    simulator = simulate(graph((branch("x"), trigger("t", 0)), "x.false>t"))
    finish(simulator, "x")
    assert closed_nodes(simulator.plan, simulator.projection) == ["t"]


def test_outputs_have_their_names_and_the_last_activation_counts() -> None:
    nodes = (trigger("t", 2), GraphNode(id="o", type="Output"),
             GraphNode(id="p", type="Output", properties={"name": "named"}))  # fmt: skip
    simulator = simulate(graph(nodes, "t>o.input", "t>p.input"))
    finish(simulator, "t", "o", "p", "t", "o", "p")
    assert run_outputs(simulator.plan, simulator.projection) == {"o": "2", "named": "2"}
    assert sum(event.event_type is EventType.NODE_COMPLETED for event in simulator.log) == 6
