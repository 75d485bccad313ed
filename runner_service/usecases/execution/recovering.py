"""Pick up what an earlier holder left."""

from collections.abc import Set as AbstractSet

from runner_service.domain.projection import NodeRecord, NodeState
from runner_service.domain.scheduling import following, open_places
from runner_service.usecases.execution import passages
from runner_service.usecases.execution.frames import Frame
from runner_service.usecases.execution.held import HeldRun
from wakepoint.nodes import Node


async def recover(held: HeldRun, hot_before: AbstractSet[str]) -> None:
    """Nodes that ran or waited in memory (`hot_before`) begin again, events wake their nodes."""
    for node_id, activation, record in list(held.projection.records()):
        if record.state is NodeState.SCHEDULED and record.failures:
            _wait_again(held, node_id, activation, record)
        elif record.state is NodeState.SCHEDULED:
            await try_again(held, node_id, activation, record.attempt + 1)
        elif record.state is NodeState.RUNNING:
            waited = node_id in hot_before and not held.inbox.has(node_id)
            await try_again(held, node_id, activation, record.attempt + (not waited))
    await passages.advance(held, list(open_places(held.plan, held.projection)))
    passages.hand_out(held)


async def try_again(held: HeldRun, node_id: str, activation: str, attempt: int) -> None:
    """Another attempt at a passage, which resumes once more if it began so and its event is still there."""
    record = held.projection.nodes[node_id][activation]
    if record.resumed and held.inbox.has(node_id):
        passages.resume(held, node_id, activation, attempt)
        return
    if await passages.begin(held, node_id, activation, max(attempt, 1), record.failures):
        await passages.advance(held, following(held.plan, held.projection, node_id, activation))


def _wait_again(held: HeldRun, node_id: str, activation: str, record: NodeRecord) -> None:
    """A back-off that was cut short begins anew: what failed is not tried sooner for its replica's end."""
    graph_node = held.plan.nodes[node_id]
    node_class = held.environment.node_class(graph_node) or Node
    frame = Frame(graph_node, node_class, activation, record.attempt, record.failures)
    passages.retry_later(held, frame, passages.backoff_seconds(graph_node.retry, record.failures))
