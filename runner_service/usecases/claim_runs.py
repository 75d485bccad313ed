"""Take ready runs and everything that is needed to go on with them."""

from collections.abc import Sequence
from dataclasses import dataclass

from runner_service.domain.graph import Graph
from runner_service.domain.projection import RunProjection, fold
from runner_service.domain.runs import ClaimedRun, InboxEvent, Wait
from runner_service.storage import inbox, log, runs, waits
from wakepoint.chassis.database import Database


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A claimed run with its past: what its log folds to, its waits, and the events it has not taken."""

    claimed: ClaimedRun
    graph: Graph
    projection: RunProjection
    waits: Sequence[Wait]
    pending: Sequence[InboxEvent]


async def claim_runs(database: Database, replica_id: str, limit: int, *, oldest: bool) -> list[LoadedRun]:
    """Claim up to `limit` ready runs for this replica."""
    async with database.connection() as connection:
        claimed = await runs.claim_runs(connection, replica_id, limit, oldest=oldest)
        if not claimed:
            return []
        ids = [run.run_id for run in claimed]
        # After the claim nobody else writes these logs but by delivering events, which the holder's fence catches.
        graphs = await runs.get_graphs(connection, list({run.graph_hash for run in claimed}))
        logs = await log.read_logs(connection, ids)
        waiting = await waits.read_waits(connection, ids)
        pending = await inbox.read_pending(connection, ids)
    return [
        LoadedRun(
            claimed=run,
            graph=Graph.model_validate(graphs[run.graph_hash]),
            projection=fold(logs[run.run_id]),
            waits=waiting.get(run.run_id, []),
            pending=[event for event in pending.get(run.run_id, []) if event.inbox_seq <= run.last_inbox_seq],
        )
        for run in claimed
    ]
