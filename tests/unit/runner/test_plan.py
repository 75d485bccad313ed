"""What follows from a graph alone: order, triggers before a node, the shape of activations."""

from runner_service.domain.plan import GraphPlan, components, opened, outer, topological_order, within
from tests.unit.runner.graphs import TYPES, graph, trigger, work


def test_depth_counts_the_triggers_on_the_longest_chain() -> None:
    nodes = (*work("a", "b", "c", "d"), trigger("t1"), trigger("t2"))
    plan = GraphPlan.of(graph(nodes, "a>t1", "t1>b", "b>t2", "t2>c", "a>d"), TYPES)
    assert plan.depth == {"a": 0, "t1": 1, "b": 1, "t2": 2, "c": 2, "d": 0}
    assert [plan.scope_depth(n) for n in ("a", "t1", "b", "t2", "c")] == [0, 0, 1, 1, 2]


def test_a_join_of_a_nested_trigger_and_its_outer_one_has_the_longer_chain() -> None:
    nodes = (*work("join"), trigger("outer"), trigger("inner"))
    plan = GraphPlan.of(graph(nodes, "outer>inner", "inner>join", "outer>join"), TYPES)
    assert plan.depth["join"] == 2


def test_independent_triggers_have_the_depth_of_their_own_chain() -> None:
    nodes = (*work("join"), trigger("t1"), trigger("t2"), trigger("t3"))
    plan = GraphPlan.of(graph(nodes, "t1>t2", "t2>join", "t3>join"), TYPES)
    assert (plan.depth["t1"], plan.depth["t2"], plan.depth["t3"], plan.depth["join"]) == (1, 2, 1, 2)
    assert plan.behind["t3"] == {"join"}
    assert plan.behind["t1"] == {"t2", "join"}


def test_nodes_start_where_nothing_leads_to_them() -> None:
    plan = GraphPlan.of(graph((*work("b", "a", "c"), trigger("t")), "a>b", "t>c"), TYPES)
    assert plan.starting_nodes() == ("a", "t")


def test_the_order_puts_sources_first_and_leaves_circles_out() -> None:
    order = topological_order(graph(work("d", "c", "b", "a", "x", "y", "z"), "a>b", "b>c", "c>d", "x>y", "y>x", "y>z"))
    assert order == ("a", "b", "c", "d")


def test_edges_to_nowhere_do_not_disturb_the_order() -> None:
    assert topological_order(graph(work("a", "b"), "ghost>a", "a>b", "b>ghost")) == ("a", "b")


def test_activations_are_cut_opened_and_compared_by_components() -> None:
    assert components("0") == ()
    assert components("2.10") == ("2", "10")
    assert outer("2.10.3", 2) == "2.10"
    assert outer("2", 0) == "0"
    assert opened("0", 4) == "4"
    assert opened("4", 1) == "4.1"
    assert within("4.1", "4")
    assert within("4", "4")
    assert within("4.1", "0")
    assert not within("41", "4")
    assert not within("4", "4.1")
