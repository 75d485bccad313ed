"""A job has ended: its node wakes, and trigger_service hears of it, in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runner_service.domain.jobs import job_event
from runner_service.domain.runs import JOB_EVENT, JOB_SOURCE, Job
from runner_service.domain.trigger_events import Address, TriggerEvent
from runner_service.storage import jobs, outbox, runs
from runner_service.storage.steps import OutboxEntry
from runner_service.usecases.deliver_events import Delivered, Wake, deliver
from runner_service.usecases.signals import Signals
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database


@dataclass(frozen=True, slots=True)
class _RunFacts:
    run_id: str
    experiment_id: str
    depth: int


async def open_jobs(database: Database, host: str) -> list[Job]:
    """The unfinished jobs of this host."""
    async with database.connection() as connection:
        return await jobs.open_jobs(connection, host)


async def mark_running(database: Database, job: Job, handle: Mapping[str, Any]) -> bool:
    """The job runs; False when it was told to stop meanwhile."""
    async with database.connection() as connection:
        return await jobs.mark_running(connection, job.job_id, handle)


async def finish_job(
    database: Database, signals: Signals, job: Job, result: Mapping[str, Any], end_time: datetime
) -> bool:
    """Record the job's end, once. `result` is {status, exit_code, output, error}."""

    async def finish(connection: Connection) -> Delivered | None:
        event = TriggerEvent(
            event_id=job.job_id,
            source=JOB_SOURCE,
            type="wakepoint.job",
            payload={"job_id": job.job_id, **result},
            occur_time=end_time,
        )
        # The run's row first, then the job's: the order of all who lock both.
        delivered = await deliver(connection, [Wake(Address(job.run_id, job.node_id), event)])
        if not await jobs.finish_job(connection, job.job_id, result):
            return None
        run = (await runs.get_runs(connection, [job.run_id]))[job.run_id]
        facts = _RunFacts(run.run_id, run.experiment_id, int(run.source.get("depth") or 0))
        told = job_event(job, facts, result["status"], _attributes(result))
        await outbox.add_to_outbox(connection, [OutboxEntry(JOB_EVENT, told)])
        failpoints.hit("runner.job.before_commit")
        return delivered

    delivered = await database.run(finish)
    failpoints.hit("runner.job.after_commit")
    if delivered is None:
        return False
    delivered.announce(signals)
    signals.outbox_grew()
    return True


def _attributes(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a job leaves are its attributes, so that conditions can look at them."""
    output = result.get("output")
    attributes = dict(output) if isinstance(output, Mapping) else {} if output is None else {"output": output}
    return attributes if result["status"] == "COMPLETE" else {"exit_code": result["exit_code"]}
