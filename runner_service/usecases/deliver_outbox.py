"""Tell trigger_service what the runner owes it: at least once, with identities that make repetition harmless."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

import structlog

from runner_service.domain.runs import JOB_EVENT, RUN_STATE
from runner_service.storage import outbox
from runner_service.storage.outbox import LeasedEntry
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import Unavailable, WakepointError

BATCH = 500
LEASE = timedelta(seconds=30)
LONGEST_PAUSE_SECONDS = 60.0

_log = structlog.stdlib.get_logger(__name__)


class TriggerService(Protocol):
    """The peer. A None in an answer means taken, an error that this one item was refused."""

    async def report_job_events(self, events: Sequence[Mapping[str, Any]]) -> list[WakepointError | None]: ...

    async def report_run_states(self, states: Sequence[Mapping[str, Any]]) -> None: ...


async def deliver_outbox(database: Database, trigger_service: TriggerService) -> int:
    """Deliver one batch; how many entries there were. Raises nothing that the peer does: it is tried again later."""
    async with database.connection() as connection:
        entries = await outbox.lease_outbox(connection, BATCH, LEASE)
    if not entries:
        return 0
    try:
        await _send(trigger_service, entries)
        failpoints.hit("runner.outbox.sent")
    except WakepointError as error:
        await _postpone(database, entries, error)
    else:
        async with database.connection() as connection:
            await outbox.delete_delivered(connection, [entry.outbox_id for entry in entries])
    return len(entries)


async def _send(trigger_service: TriggerService, entries: Sequence[LeasedEntry]) -> None:
    jobs = [entry for entry in entries if entry.kind == JOB_EVENT]
    if jobs:
        answers = await trigger_service.report_job_events([entry.payload for entry in jobs])
        for entry, error in zip(jobs, answers, strict=True):
            if isinstance(error, Unavailable):
                raise error
            if error is not None:
                # Repeating what was refused for its own sake never ends; it is told to those who read logs.
                _log.error("trigger_service refused a job event", error=error.message, job=entry.payload.get("job_id"))
    states = [entry for entry in entries if entry.kind == RUN_STATE]
    if states:
        await trigger_service.report_run_states([entry.payload for entry in states])


async def _postpone(database: Database, entries: Sequence[LeasedEntry], error: WakepointError) -> None:
    attempts = max(entry.attempts for entry in entries)
    pause = min(LONGEST_PAUSE_SECONDS, 0.2 * 2.0 ** min(attempts, 10))
    _log.warning("trigger_service cannot be told", entries=len(entries), again_in_seconds=pause, error=error.message)
    async with database.connection() as connection:
        ids = [entry.outbox_id for entry in entries]
        await outbox.postpone(connection, ids, timedelta(seconds=pause), error.message)
