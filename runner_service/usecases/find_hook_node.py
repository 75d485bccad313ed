"""Which node of which run a webhook speaks to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner_service.storage import runs
from wakepoint.chassis.database import Database
from wakepoint.chassis.ids import is_id


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A node as it stands in its run's graph. `finished`: its run has ended."""

    node_type: str
    properties: Mapping[str, Any]
    workflow_id: str
    finished: bool


async def find_hook_node(database: Database, run_id: str, node_id: str) -> FoundNode | None:
    """None where there is no such run, or no such node in its graph."""
    if not is_id(run_id):
        return None
    async with database.connection() as connection:
        run = (await runs.get_runs(connection, [run_id])).get(run_id.lower())
        graphs = await runs.get_graphs(connection, [run.graph_hash]) if run else {}
    if run is None:
        return None
    for node in graphs[run.graph_hash]["nodes"]:
        if node["id"] == node_id:
            return FoundNode(node["type"], node["properties"], run.workflow_id, run.state.finished)
    return None
