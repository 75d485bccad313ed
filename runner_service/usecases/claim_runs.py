"""Take ready runs and everything that is needed to go on with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner_service.domain.graph import Graph
from runner_service.domain.projection import RunProjection, fold
from runner_service.domain.runs import ClaimedRun, InboxEvent, Wait
from runner_service.storage import inbox, log, runs, waits
from wakepoint.chassis.database import Connection, Database


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A claimed run with its past: what its log folds to, its waits, and the events it has not taken."""

    claimed: ClaimedRun
    graph: Graph
    projection: RunProjection
    waits: Sequence[Wait]
    pending: Sequence[InboxEvent]


@dataclass(frozen=True, slots=True)
class Claims:
    """What was claimed. `unreadable`: runs whose past makes no sense, with the reason."""

    loaded: Sequence[LoadedRun]
    unreadable: Mapping[str, str]


async def claim_runs(database: Database, replica_id: str, limit: int, *, oldest: bool, crashes: range) -> Claims:
    """Claim up to `limit` ready runs for this replica, of those whose number of crashes lies in `crashes`."""
    async with database.connection() as connection:
        claimed = await runs.claim_runs(connection, replica_id, limit, oldest=oldest, crashes=crashes)
        if not claimed:
            return Claims([], {})
        try:
            return Claims(await _load(connection, claimed), {})
        except (ValueError, KeyError):
            return await _load_one_by_one(connection, claimed)


async def _load_one_by_one(connection: Connection, claimed: Sequence[ClaimedRun]) -> Claims:
    """One damaged log must not take the others of its batch along."""
    loaded: list[LoadedRun] = []
    unreadable: dict[str, str] = {}
    for run in claimed:
        try:
            loaded += await _load(connection, [run])
        except (ValueError, KeyError) as error:
            unreadable[run.run_id] = f"{type(error).__name__}: {error}"
    return Claims(loaded, unreadable)


async def _load(connection: Connection, claimed: Sequence[ClaimedRun]) -> list[LoadedRun]:
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
