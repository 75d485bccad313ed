"""A job was started, or is to be started once more; trigger_service hears of it in the same transaction."""

from collections.abc import Mapping
from typing import Any

from runner_service.domain.jobs import Job, job_event
from runner_service.domain.runs import JOB_EVENT
from runner_service.storage import jobs, outbox
from runner_service.storage.steps import OutboxEntry
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database


async def mark_running(database: Database, signals: Signals, job: Job, handle: Mapping[str, Any]) -> bool:
    """Record that the job was started and where; False when that was known."""

    async def mark(connection: Connection) -> bool:
        if not await jobs.mark_running(connection, job, handle):
            return False
        told = job_event(job, job, "RUNNING", attempt=job.attempt)
        await outbox.add_to_outbox(connection, [OutboxEntry(JOB_EVENT, told)])
        return True

    return await _and_tell(database, signals, mark)


async def start_anew(database: Database, signals: Signals, job: Job) -> bool:
    """The job outlived its runner, was stopped and is to be run again; False when it is not wanted any more."""

    async def begin(connection: Connection) -> bool:
        if not await jobs.start_anew(connection, job):
            return False
        told = [
            job_event(job, job, "STOPPED", attempt=job.attempt),
            job_event(job, job, "LAUNCHING", attempt=job.attempt + 1),
        ]
        await outbox.add_to_outbox(connection, [OutboxEntry(JOB_EVENT, event) for event in told])
        return True

    return await _and_tell(database, signals, begin)


async def _and_tell(database: Database, signals: Signals, work: Any) -> bool:
    done: bool = await database.run(work)
    if done:
        signals.outbox_grew()
    return done
