"""Forgetting what is over changes nothing about what is still to come."""

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner_service.domain.compaction import prune, run_snapshot, size_of
from runner_service.domain.graph import Graph
from runner_service.domain.history import EventType, HistoryEvent, Line
from runner_service.domain.plan import GraphPlan
from runner_service.domain.projection import RunProjection, fold
from runner_service.domain.scheduling import Place, open_places, run_outputs
from tests.unit.runner.graphs import TYPES, graph, trigger, work
from tests.unit.runner.simulator import Simulator, expected_records
from tests.unit.runner.test_scheduling_properties import graphs

CHAIN = graph((trigger("t", 0), *work("x", "y")), "t>x", "x>y")


@dataclass
class Forgetful(Simulator):
    """A simulator whose run comes back from its last snapshot and the lines after it."""

    tail: list[HistoryEvent] = field(default_factory=list)

    def write(self, line: Line) -> None:
        super().write(line)
        self.tail.append(self.log[-1])

    def compact(self) -> None:
        """As the runner does: from the log, not from memory."""
        projection = fold(self.tail)
        prune(self.plan, projection)
        stored = json.loads(json.dumps(run_snapshot(projection).payload), object_pairs_hook=_as_jsonb)
        # It takes the place of the lines before it; in the real log the numbers go on.
        last, time = self.tail[-1], datetime(2026, 1, 1, tzinfo=UTC)
        self.tail = [HistoryEvent("run", last.seq, EventType.RUN_SNAPSHOT, None, None, stored, 1, time)]

    def forget(self) -> None:
        self.projection = fold(self.tail)
        self.advance(open_places(self.plan, self.projection))


def _as_jsonb(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Postgres keeps the names of an object sorted, shorter ones first."""
    return dict(sorted(pairs, key=lambda pair: (len(pair[0]), pair[0])))


def open_part(plan: GraphPlan, projection: RunProjection) -> object:
    """What matters of a projection from now on."""
    prune(plan, projection)
    latest = {node_id: projection.latest(node_id) for node_id in projection.nodes}
    fixed = (projection.state, projection.attempt, projection.input, projection.source, projection.last_seq)
    return fixed, projection.nodes, latest, projection.floors, run_outputs(plan, projection)


@given(
    graph=graphs(most_nodes=5, numbers_of_events=(1, 2, 3, 5)),
    seed=st.integers(0, 2**32),
    crash_rate=st.sampled_from([0.0, 0.3]),
    compaction_rate=st.sampled_from([0.1, 0.5, 1.0]),
)
@settings(max_examples=300, deadline=None)
def test_a_run_that_is_compacted_again_and_again_does_what_it_would_have_done(
    graph: Graph, seed: int, crash_rate: float, compaction_rate: float
) -> None:
    rng = random.Random(seed)

    def taken(node_id: str, activation: str) -> str:
        return random.Random(f"{seed}:{node_id}:{activation}").choice(["true", "false"])

    simulator = Forgetful(GraphPlan.of(graph, TYPES), taken)
    simulator.start()
    while simulator.running:
        simulator.finish(rng.choice(simulator.running))
        if rng.random() < compaction_rate:
            prune(simulator.plan, simulator.projection)
        if rng.random() < compaction_rate:
            simulator.compact()
        if rng.random() < crash_rate:
            simulator.forget()
        restored, whole = fold(simulator.tail), fold(simulator.log)
        assert open_part(simulator.plan, restored) == open_part(simulator.plan, whole)
        assert len(simulator.log) < 20_000, "the run does not end"
    assert len(simulator.begun) == len(set(simulator.begun)), "something ran twice"
    outcomes: dict[Place, EventType] = {
        (event.node_id or "", event.activation or ""): event.event_type
        for event in simulator.log
        if event.event_type in (EventType.NODE_COMPLETED, EventType.NODE_SKIPPED)
    }
    assert outcomes == expected_records(simulator.plan, taken)


@pytest.mark.parametrize("activations", [10, 1000])
def test_what_remains_of_an_endless_run_does_not_grow(activations: int) -> None:
    simulator = Forgetful(GraphPlan.of(CHAIN, TYPES), lambda *_: "true")
    simulator.start()
    for _ in range(activations * 3):
        simulator.finish(simulator.running[0])
        prune(simulator.plan, simulator.projection)
    assert size_of(simulator.projection) <= 6
    assert simulator.projection.nodes["t"].keys() == {str(activations), str(activations + 1)}
    simulator.compact()
    assert len(json.dumps(simulator.tail[0].payload)) < 2000


def test_a_pruned_trigger_goes_on_from_what_it_carried_and_counted() -> None:
    simulator = Forgetful(GraphPlan.of(CHAIN, TYPES), lambda *_: "true")
    simulator.start()
    for _ in range(30):
        simulator.finish(simulator.running[0])
        simulator.compact()
    simulator.forget()
    simulator.finish(("t", "11"))
    record = simulator.projection.record("t", "11")
    assert record is not None
    assert record.consumed == 11


def test_pruning_counts_the_passages_that_it_forgets() -> None:
    simulator = Forgetful(GraphPlan.of(CHAIN, TYPES), lambda *_: "true")
    simulator.start()
    for _ in range(30):
        simulator.finish(simulator.running[0])
    assert prune(simulator.plan, simulator.projection) == 9
    assert prune(simulator.plan, simulator.projection) == 0
