"""Which node of which run a webhook speaks to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner_service.domain.runs import Run
from runner_service.domain.webhooks import WebhookTarget
from runner_service.storage import inbox, runs
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.ids import is_id


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A node as it stands in its run's graph. `finished`: its run has ended."""

    node_type: str
    properties: Mapping[str, Any]
    workflow_id: str
    finished: bool


async def find_hook_node(database: Database, target: WebhookTarget) -> FoundNode | None:
    """None where there is no such run, or no such node in its graph.

    Of scope `workflow`: the node in an unfinished run, or else in the newest.
    """
    async with database.connection() as connection:
        run = await _run_of(connection, target)
        graphs = await runs.get_graphs(connection, [run.graph_hash]) if run else {}
    if run is None:
        return None
    for node in graphs[run.graph_hash]["nodes"]:
        if node["id"] == target.node_id:
            return FoundNode(node["type"], node["properties"], run.workflow_id, run.state.finished)
    return None


async def _run_of(connection: Connection, target: WebhookTarget) -> Run | None:
    if target.scope == "run":
        found = await runs.get_runs(connection, [target.run_id]) if is_id(target.run_id) else {}
        return found.get(target.run_id.lower())
    if unfinished := await inbox.find_unfinished_runs(connection, target.workflow_id, target.experiment_id):
        return (await runs.get_runs(connection, unfinished[:1]))[unfinished[0]]
    where = runs.RunFilter(target.experiment_id, target.workflow_id)
    newest = await runs.list_runs(connection, where, before=None, limit=1, as_of=await runs.as_of(connection))
    return newest[0] if newest else None
