"""GetRun: the row, and node by node what its log folds to."""

from collections.abc import Mapping
from dataclasses import dataclass

from runner_service.domain.history import HistoryEvent
from runner_service.domain.node_status import NodeStatus, statuses_of
from runner_service.domain.projection import RunProjection, fold
from runner_service.domain.runs import Run
from runner_service.storage import log, runs, waits
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import NotFound
from wakepoint.chassis.ids import is_id


@dataclass(frozen=True, slots=True)
class RunInFull:
    """A run with its projection, and by node id where each node of its graph stands."""

    run: Run
    projection: RunProjection
    nodes: Mapping[str, NodeStatus]


async def get_run(database: Database, run_id: str, experiment_id: str | None) -> RunInFull:
    """The run as its log has it. NotFound, also for another experiment's run."""
    async with database.connection() as connection:
        run, events = await _read(connection, run_id, experiment_id)
        node_ids = await runs.get_node_ids(connection, run.graph_hash)
        waiting = await waits.read_waits(connection, [run.run_id])
    # The log may have grown since the row was read; the answer is one moment's.
    projection = fold(event for event in events if event.seq <= run.last_seq)
    return RunInFull(run, projection, statuses_of(projection, node_ids, waiting[run.run_id]))


async def _read(connection: Connection, run_id: str, experiment_id: str | None) -> tuple[Run, list[HistoryEvent]]:
    while True:
        run = await find_run(connection, run_id, experiment_id)
        events = (await log.read_logs(connection, [run.run_id]))[run.run_id]
        # A log that was compacted in between begins after the moment of the row.
        if not events or events[0].seq <= run.last_seq:
            return run, events


async def find_run(connection: Connection, run_id: str, experiment_id: str | None) -> Run:
    """The run's row. NotFound, in the same words whether it does not exist or is another experiment's."""
    found = (await runs.get_runs(connection, [run_id])) if is_id(run_id) else {}
    run = found.get(run_id.lower())
    if run is None or (experiment_id is not None and run.experiment_id != experiment_id):
        raise NotFound(f"run {run_id} does not exist", reason="RUN_NOT_FOUND", run_id=run_id)
    return run
