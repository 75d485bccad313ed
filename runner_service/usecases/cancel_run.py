"""CancelRun: committed at once; whoever holds the run finds its epoch over."""

from runner_service.domain.projection import RunState
from runner_service.domain.runs import Run
from runner_service.storage import runs
from runner_service.usecases.get_run import find_run
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import FailedPrecondition


async def cancel_run(database: Database, signals: Signals, run_id: str, reason: str, experiment_id: str | None) -> Run:
    """Cancel an unfinished run; a cancelled one stays so. NotFound; FailedPrecondition once it completed or failed."""

    async def cancel(connection: Connection) -> Run:
        run = await find_run(connection, run_id, experiment_id)
        await runs.lock_runs(connection, [run.run_id])
        await runs.cancel_run(connection, run.run_id, reason)
        return await find_run(connection, run.run_id, experiment_id)

    run = await database.run(cancel)
    if run.state is not RunState.CANCELLED:
        raise FailedPrecondition(
            f"run {run.run_id} has {run.state.lower()}", reason="RUN_FINISHED", run_id=run.run_id, state=run.state
        )
    signals.run_cancelled(run.run_id)
    signals.log_grew(run.run_id)
    signals.outbox_grew()
    return run
