"""Replace the log of a run by a snapshot, so that an endless run is always loaded as quickly as when it was young."""

from runner_service.domain.compaction import prune, run_snapshot
from runner_service.domain.plan import GraphPlan
from runner_service.domain.projection import fold
from runner_service.storage import log
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database


async def compact_log(database: Database, plan: GraphPlan, run_id: str, epoch: int) -> bool:
    """Compact the log of a run that is held in this epoch; False, and nothing has changed, if it is not held any more.

    The snapshot is what the log folds to under the run's lock, not what its holder has in memory: lines that others
    have written are in it, and lines that the holder has drafted come after it.
    """

    async def compact(connection: Connection) -> bool:
        if not await log.lock_held_run(connection, run_id, epoch):
            return False
        projection = fold((await log.read_logs(connection, [run_id]))[run_id])
        prune(plan, projection)
        await log.write_snapshot(connection, run_id, run_snapshot(projection))
        failpoints.hit("runner.compaction.before_drop")
        await log.drop_lines_before_first(connection, run_id)
        failpoints.hit("runner.compaction.before_commit")
        return True

    compacted = await database.run(compact)
    failpoints.hit("runner.compaction.after_commit")
    return compacted
