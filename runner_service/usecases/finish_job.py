"""A job has ended: its node wakes, and trigger_service hears of it, in one transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from runner_service.domain.jobs import Job, attributes_of, job_event
from runner_service.domain.runs import JOB_EVENT, JOB_SOURCE, Disposition
from runner_service.domain.trigger_events import Address, TriggerEvent
from runner_service.storage import jobs, outbox, runs
from runner_service.storage.steps import OutboxEntry
from runner_service.usecases.deliver_events import Delivered, Wake, deliver_to_locked
from runner_service.usecases.signals import Signals
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import ResourceExhausted


async def finish_job(
    database: Database, signals: Signals, job: Job, result: Mapping[str, Any], end_time: datetime
) -> bool:
    """Record the job's end, once. `result` is {status, exit_code, output, error}. False: somebody did before.

    ResourceExhausted: the node's inbox is full, nothing was recorded.
    """

    async def finish(connection: Connection) -> Delivered | None:
        # The run's row first, then the job's: the order of all who lock both.
        locked = await runs.lock_runs(connection, [job.run_id])
        if not await jobs.finish_job(connection, job, result):
            return None
        delivered = await deliver_to_locked(connection, [_wake(job, result, end_time)], locked)
        if delivered.results[0].disposition is Disposition.INBOX_FULL:
            raise ResourceExhausted(f"the inbox of node {job.node_id} is full", reason="INBOX_FULL")
        told = job_event(job, job, result["status"], attributes_of(result), attempt=job.attempt)
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


def _wake(job: Job, result: Mapping[str, Any], end_time: datetime) -> Wake:
    event = TriggerEvent(
        event_id=job.job_id,
        source=JOB_SOURCE,
        type="wakepoint.job",
        payload={"job_id": job.job_id, **result},
        occur_time=end_time,
    )
    return Wake(Address(job.run_id, job.node_id), event)
