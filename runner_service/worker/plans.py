"""Plans of graphs, made once per graph and kept while they are in use."""

from collections import OrderedDict

from runner_service.domain.graph import Graph
from runner_service.domain.node_types import NodeTypes
from runner_service.domain.plan import GraphPlan


class PlanCache:
    """Keeps the `size` plans used last."""

    def __init__(self, types: NodeTypes, size: int = 1000) -> None:
        self._types = types
        self._size = size
        self._plans: OrderedDict[bytes, GraphPlan] = OrderedDict()

    def plan_of(self, graph_hash: bytes, graph: Graph) -> GraphPlan:
        """The graph's plan."""
        plan = self._plans.get(graph_hash)
        if plan is None:
            plan = self._plans[graph_hash] = GraphPlan.of(graph, self._types)
            if len(self._plans) > self._size:
                self._plans.popitem(last=False)
        self._plans.move_to_end(graph_hash)
        return plan
