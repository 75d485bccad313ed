"""A running job that promised to be heard of and is not becomes FAILED, reason LOST."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import UUID

from trigger_service.domain.events import JobEvent
from trigger_service.domain.limits import json_problem
from trigger_service.domain.statuses import JobStatus
from trigger_service.storage import events as event_store
from trigger_service.storage import jobs
from trigger_service.storage.jobs import SilentJob
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.report_job_events import Outcome, record_events, wake_loops
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection
from wakepoint.chassis.ids import new_id

LOST = "LOST"
"""`attributes.reason` of a job that fell silent."""
SOURCE = "trigger.heartbeats"
"""The source of the events that say so."""


class _StillThere(Exception):
    """The job was heard of, or ended, at the last moment: nothing of its loss may stay."""


async def database_time(env: Environment) -> datetime:
    """The time that heartbeats are compared with."""
    async with env.database.connection() as connection:
        return await jobs.now(connection)


async def lose_silent_jobs(env: Environment, listening_since: datetime, limit: int = 200) -> int:
    """How many heartbeats are done with, lost jobs and ended ones.

    `listening_since`: since when this replica could have heard a job. Silence before that proves nothing.
    """
    async with env.database.connection() as connection:
        found = await jobs.silent(connection, listening_since, limit)
    return sum([await _settle(env, job) for job in found])


async def _settle(env: Environment, job: SilentJob) -> bool:
    try:
        outcomes = await env.database.run(partial(_lose if job.is_running else _forget, env, job))
    except _StillThere:
        return False
    failpoints.hit("trigger.lost.after_commit")
    wake_loops(env, outcomes)
    return True


async def _forget(_env: Environment, job: SilentJob, connection: Connection) -> list[Outcome]:
    await jobs.end_heartbeat(connection, (job.experiment_id, job.job_id, job.attempt))
    return []


async def _lose(env: Environment, job: SilentJob, connection: Connection) -> list[Outcome]:
    """The order of the locks is that of a report: the event's identity, the job, its heartbeat.

    So the event is written before it is known whether it is true; if it is not, all of it is taken back.
    """
    key = (job.experiment_id, job.job_id, job.attempt)
    attributes = {**job.attributes, "reason": LOST}
    if json_problem(attributes) is not None:
        # Others may have written more than an event can carry.
        attributes = {"reason": LOST}
    event = JobEvent(
        experiment_id=job.experiment_id,
        job_id=job.job_id,
        attempt=job.attempt,
        status=JobStatus.FAILED.value,
        source=SOURCE,
        attributes=attributes,
        depth=job.depth,
        cause_run_id=job.cause_run_id,
    )
    outcomes = await record_events(env, connection, [event], event_store.match_view, keeps_jobs=True)
    if not await jobs.lock_running(connection, key) or not await jobs.end_heartbeat(connection, key):
        raise _StillThere
    await jobs.lose(connection, key, attributes, UUID(new_id()))
    failpoints.hit("trigger.lost.before_commit")
    return outcomes
