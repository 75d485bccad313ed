"""RetryRun: a failed run is taken up again, as the same run."""

from runner_service.domain.runs import Run
from runner_service.storage import runs
from runner_service.usecases.get_run import find_run
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import FailedPrecondition


async def retry_run(database: Database, signals: Signals, run_id: str, reason: str, experiment_id: str | None) -> Run:
    """Make a FAILED run ready: completed nodes keep their outputs, the others begin anew.

    The events that the failure dead-lettered are pending again. NotFound; FailedPrecondition in any other state.
    """

    async def retry(connection: Connection) -> Run:
        run = await find_run(connection, run_id, experiment_id)
        await runs.lock_runs(connection, [run.run_id])
        if not await runs.retry_run(connection, run.run_id, reason):
            raise FailedPrecondition(
                f"run {run.run_id} is {run.state.lower()}; only a failed run can be retried",
                reason="RUN_NOT_FAILED",
                run_id=run.run_id,
                state=run.state,
            )
        return await find_run(connection, run.run_id, experiment_id)

    run = await database.run(retry)
    signals.runs_ready()
    signals.log_grew(run.run_id)
    return run
