"""Random graphs, run by the simulator in random order, with crashes in between."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runner_service.domain.graph import Edge, Graph, GraphNode
from runner_service.domain.history import EventType
from runner_service.domain.plan import GraphPlan
from runner_service.domain.projection import fold
from runner_service.domain.scheduling import Place
from runner_service.domain.validation import violations_of
from tests.unit.runner.graphs import TYPES
from tests.unit.runner.simulator import Simulator, expected_records


@st.composite
def graphs(draw: st.DrawFn, most_nodes: int = 9, numbers_of_events: tuple[int, ...] = (1, 1, 2, 3)) -> Graph:
    """Edges lead from earlier to later nodes, each to an input of its own."""
    kinds = draw(st.lists(st.sampled_from(["Work", "Work", "Trigger", "Branch"]), min_size=1, max_size=most_nodes))
    events = draw(st.lists(st.sampled_from(numbers_of_events), min_size=len(kinds), max_size=len(kinds)))
    edges = []
    for target in range(1, len(kinds)):
        for source in draw(st.sets(st.integers(0, target - 1), max_size=3)):
            output = draw(st.sampled_from(["true", "false"])) if kinds[source] == "Branch" else "output"
            edges.append(
                Edge(source=f"n{source}", source_output=output, target=f"n{target}", target_input=f"i{source}")
            )
    graph = _graph(kinds, events, edges)
    return graph if not violations_of(graph, TYPES) else _graph(kinds, [1] * len(kinds), edges)


def _graph(kinds: list[str], events: list[int], edges: list[Edge]) -> Graph:
    def properties(number: int) -> dict[str, Any]:
        return {"max_events": events[number]} if kinds[number] == "Trigger" else {}

    nodes = tuple(GraphNode(id=f"n{i}", type=kind, properties=properties(i)) for i, kind in enumerate(kinds))
    return Graph(nodes=nodes, edges=tuple(edges))


@given(graph=graphs(), seed=st.integers(0, 2**32), crash_rate=st.sampled_from([0.0, 0.3]))
@settings(max_examples=300, deadline=None)
def test_every_node_runs_once_per_activation_after_its_inputs_and_the_run_ends(
    graph: Graph, seed: int, crash_rate: float
) -> None:
    assert violations_of(graph, TYPES) == []
    rng = random.Random(seed)

    def taken(node_id: str, activation: str) -> str:
        return random.Random(f"{seed}:{node_id}:{activation}").choice(["true", "false"])

    simulator = Simulator(GraphPlan.of(graph, TYPES), taken)
    simulator.start()
    steps = 0
    while simulator.running:
        simulator.finish(rng.choice(simulator.running))
        if rng.random() < crash_rate:
            simulator.forget()
        steps += 1
        assert steps < 5000, "the run does not end"
    simulator.end()

    assert len(simulator.begun) == len(set(simulator.begun)), "something ran twice"
    assert _outcomes(simulator) == expected_records(simulator.plan, taken)
    assert fold(simulator.log) == _with_seqs(simulator)


def _outcomes(simulator: Simulator) -> dict[Place, EventType]:
    ends = (EventType.NODE_COMPLETED, EventType.NODE_SKIPPED)
    return {
        (event.node_id or "", event.activation or ""): event.event_type
        for event in simulator.log
        if event.event_type in ends
    }


def _with_seqs(simulator: Simulator) -> object:
    """The live projection; only who reads a log knows the numbers of its lines."""
    simulator.projection.last_seq = len(simulator.log)
    return simulator.projection
