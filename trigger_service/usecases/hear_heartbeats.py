"""A report of RUNNING is a heartbeat, also when as an event it is a repetition."""

from __future__ import annotations

from collections.abc import Sequence

from trigger_service.domain.events import JobEvent
from trigger_service.domain.statuses import JobStatus
from trigger_service.storage import jobs
from wakepoint.chassis.database import Connection


async def hear_heartbeats(connection: Connection, heard: Sequence[JobEvent]) -> None:
    """Note that these jobs were heard of, inside the transaction that records their reports.

    Of a job that ended nothing is noted here: its heartbeat is found to be pointless when it comes due.
    """
    beats = {event.job_key: event for event in heard if event.status == JobStatus.RUNNING}
    if beats:
        await jobs.hear(connection, [beats[key] for key in sorted(beats)])
