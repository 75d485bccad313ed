"""ListTriggerEvents: a node's inbox, and what became of each event."""

from collections.abc import Sequence
from dataclasses import dataclass

from runner_service.domain.runs import Run
from runner_service.storage import runs, trigger_events
from runner_service.storage.trigger_events import ListedEvent
from runner_service.usecases.get_run import find_run
from runner_service.usecases.positions import number_at
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import NotFound
from wakepoint.chassis.paging import PageToken, filter_hash, page_size_of


@dataclass(frozen=True, slots=True)
class InboxQuery:
    """Empty `states`: any."""

    run_id: str
    node_id: str
    experiment_id: str | None = None
    states: Sequence[str] = ()

    def name(self) -> str:
        """Equal for equal queries."""
        parts = {"r": self.run_id.lower(), "n": self.node_id, "e": self.experiment_id, "s": sorted(self.states)}
        return filter_hash("ListTriggerEvents", parts)


async def list_trigger_events(
    database: Database, query: InboxQuery, page_size: int, page_token: str
) -> tuple[list[ListedEvent], str]:
    """A page of events, oldest first, and the next page's token. NotFound: run or node; InvalidArgument: the token.

    Pages may be shorter than asked for, so that they fit into a message.
    """
    size = page_size_of(page_size)
    token = PageToken.decode(page_token, filter_hash=query.name())
    async with database.connection() as connection:
        run = await find_node(connection, query.run_id, query.node_id, query.experiment_id)
        as_of = token.as_of if token else await runs.as_of(connection)
        found, more = await trigger_events.list_trigger_events(
            connection,
            run.run_id,
            query.node_id,
            after=number_at(token, 0) if token else 0,
            states=query.states,
            limit=size,
        )
    return found, PageToken(query.name(), as_of, (found[-1].inbox_seq,)).encode() if more else ""


async def find_node(connection: Connection, run_id: str, node_id: str, experiment_id: str | None) -> Run:
    """The run whose graph has the node. NotFound."""
    run = await find_run(connection, run_id, experiment_id)
    if node_id not in await runs.get_node_ids(connection, run.graph_hash):
        raise NotFound(f"run {run_id} has no node {node_id}", reason="NODE_NOT_FOUND", node_id=node_id)
    return run
