"""A runner without I/O: begins what can begin, lets whatever the test picks come to its end, and loses its memory."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from runner_service.domain.history import (
    EventType,
    HistoryEvent,
    Line,
    node_completed,
    node_skipped,
    node_started,
    run_completed,
    run_created,
)
from runner_service.domain.plan import GraphPlan, components, outer
from runner_service.domain.projection import RunProjection, apply, fold
from runner_service.domain.scheduling import Place, Ready, Skip, beginnings, decide, following, open_places, wants_more

BranchTaken = Callable[[str, str], str]


@dataclass
class Simulator:
    """`taken(node_id, activation)` says which output a branch gives out. `begun` lists every place that ran."""

    plan: GraphPlan
    taken: BranchTaken
    projection: RunProjection = field(default_factory=RunProjection)
    log: list[HistoryEvent] = field(default_factory=list)
    running: list[Place] = field(default_factory=list)
    begun: list[Place] = field(default_factory=list)

    def start(self) -> None:
        self.write(run_created(b"", {}, {}))
        self.advance(beginnings(self.plan))

    def write(self, line: Line) -> None:
        payload = dict(line.payload or {})
        seq = len(self.log) + 1
        time = datetime(2026, 1, 1, tzinfo=UTC)
        self.log.append(HistoryEvent("run", seq, line.event_type, line.node_id, line.activation, payload, 1, time))
        apply(self.projection, line)

    def advance(self, places: Iterable[Place]) -> None:
        queue = deque(places)
        while queue:
            node_id, activation = queue.popleft()
            match decide(self.plan, self.projection, node_id, activation):
                case None:
                    continue
                case Skip():
                    self.write(node_skipped(node_id, activation))
                    queue.extend(following(self.plan, self.projection, node_id, activation))
                case Ready():
                    self.begin(node_id, activation)

    def begin(self, node_id: str, activation: str) -> None:
        self._inputs_are_there(node_id, activation)
        self._nothing_is_left_of_the_activation_before(node_id, activation)
        self.write(node_started(node_id, activation, 1))
        self.begun.append((node_id, activation))
        self.running.append((node_id, activation))

    def finish(self, place: Place) -> None:
        self.running.remove(place)
        node_id, activation = place
        is_branch = self.plan.nodes[node_id].type == "Branch"
        output = self.taken(node_id, activation) if is_branch else "output"
        consumed = int(node_id in self.plan.triggers)
        self.write(node_completed(node_id, activation, {output: activation}, consumed=consumed))
        self.advance(following(self.plan, self.projection, node_id, activation))

    def forget(self) -> None:
        """Crash: all there is is the log."""
        self.projection = fold(self.log)
        self.advance(open_places(self.plan, self.projection))

    def end(self) -> None:
        self.write(run_completed({}))

    def _inputs_are_there(self, node_id: str, activation: str) -> None:
        for edge in self.plan.incoming[node_id]:
            record = self.projection.record(edge.source, outer(activation, self.plan.depth[edge.source]))
            assert record is not None, f"{node_id} ran before {edge.source} was begun"
            assert record.state.resolved, f"{node_id} ran before {edge.source} had ended"

    def _nothing_is_left_of_the_activation_before(self, node_id: str, activation: str) -> None:
        number = int(components(activation)[-1]) if node_id in self.plan.triggers else 1
        if number == 1:
            return
        before = ".".join((*components(activation)[:-1], str(number - 1)))
        for behind in self.plan.behind[node_id]:
            records = {
                a: r
                for a, r in self.projection.nodes.get(behind, {}).items()
                if a == before or a.startswith(before + ".")
            }
            assert records, f"{node_id} opened {activation} before {behind} had begun in {before}"
            assert all(record.state.resolved for record in records.values()), f"{behind} is not done in {before}"
            if behind in self.plan.triggers:
                assert not wants_more(self.plan, behind, list(records.values())[-1])


def expected_records(plan: GraphPlan, taken: BranchTaken) -> dict[Place, EventType]:
    """What must have become of every node in every activation, worked out from the graph from front to back."""
    outcome: dict[Place, EventType] = {}
    activations: dict[str, list[str]] = {}
    for node_id in plan.order:
        scopes = ["0"]
        if (depth := plan.scope_depth(node_id)) > 0:
            deepest = next(edge.source for edge in plan.incoming[node_id] if plan.depth[edge.source] == depth)
            scopes = activations[deepest]
        activations[node_id] = []
        for scope in scopes:
            skipped = bool(plan.incoming[node_id]) and not any(
                _gives_value(plan, outcome, taken, edge.source, edge.source_output, scope)
                for edge in plan.incoming[node_id]
            )
            passages = 1
            if node_id in plan.triggers and not skipped:
                passages = plan.nodes[node_id].properties["max_events"]
            for number in range(1, passages + 1):
                activation = scope
                if node_id in plan.triggers:
                    activation = ".".join((*components(scope), str(number)))
                activations[node_id].append(activation)
                outcome[node_id, activation] = EventType.NODE_SKIPPED if skipped else EventType.NODE_COMPLETED
    return outcome


def _gives_value(
    plan: GraphPlan, outcome: dict[Place, EventType], taken: BranchTaken, source: str, output: str, scope: str
) -> bool:
    activation = outer(scope, plan.depth[source])
    if outcome[source, activation] is EventType.NODE_SKIPPED:
        return False
    return output == (taken(source, activation) if plan.nodes[source].type == "Branch" else "output")
