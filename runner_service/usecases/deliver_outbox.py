"""Tell trigger_service what the runner owes it: at least once, with identities that make repetition harmless."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import structlog

from runner_service.domain.runs import JOB_EVENT, RUN_STATE
from runner_service.storage import outbox
from runner_service.storage.outbox import LeasedEntry, Postponed, RefusedEntry
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
    WakepointError,
)

# Of events that may have 200 KiB each.
BATCH = 200
LEASE = timedelta(seconds=30)
LONGEST_PAUSE_SECONDS = 60.0
REFUSED_KEPT = timedelta(days=30)
# Repeating what was refused for its own sake never ends. All else may be different the next time.
_OF_ITS_OWN = (InvalidArgument, NotFound, AlreadyExists, FailedPrecondition)

_log = structlog.stdlib.get_logger(__name__)

Answer = WakepointError | None


class TriggerService(Protocol):
    """The peer. One answer an item, in their order: None means taken, an error that this one was not; Unavailable that
    nobody could be told.
    """

    async def report_job_events(self, events: Sequence[Mapping[str, Any]]) -> list[WakepointError | None]: ...

    async def report_run_states(self, states: Sequence[Mapping[str, Any]]) -> list[WakepointError | None]: ...


@dataclass(slots=True)
class Delivery:
    """What became of one batch: `found` entries were due, `away` of them found nobody to tell."""

    found: int = 0
    taken: list[int] = field(default_factory=list)
    refused: list[RefusedEntry] = field(default_factory=list)
    later: list[Postponed] = field(default_factory=list)
    away: int = 0

    def note(self, entry: LeasedEntry, answer: Answer) -> None:
        """Sort an entry by its answer."""
        if answer is None:
            self.taken.append(entry.outbox_id)
            return
        error = f"{answer.reason}: {answer.message}"
        if isinstance(answer, Unavailable):
            # Not the entry's fault: it goes as soon as somebody is there.
            self.away += 1
            self.later.append(Postponed(entry.outbox_id, 0.0, error))
        elif isinstance(answer, _OF_ITS_OWN):
            self.refused.append(RefusedEntry(entry.outbox_id, error))
            _log.error("trigger_service refuses what it is told", kind=entry.kind, error=error, told=_gist(entry))
        else:
            self.later.append(Postponed(entry.outbox_id, _pause(entry.attempts), error))
            _log.warning("trigger_service cannot take it now", kind=entry.kind, error=error, told=_gist(entry))


async def deliver_outbox(database: Database, trigger_service: TriggerService) -> Delivery:
    """Deliver one batch. Raises nothing that the peer does: what it did not take is tried again later."""
    async with database.connection() as connection:
        entries = await outbox.lease_outbox(connection, BATCH, LEASE)
    delivery = Delivery(found=len(entries))
    if not entries:
        return delivery
    for kind, send in ((JOB_EVENT, trigger_service.report_job_events), (RUN_STATE, trigger_service.report_run_states)):
        some = [entry for entry in entries if entry.kind == kind]
        # Once nobody is there, the rest is not tried: each try may take a whole deadline.
        nobody = Unavailable("trigger_service is away", reason="TRIGGER_SERVICE_UNAVAILABLE")
        answers: Sequence[Answer] = [nobody] * len(some)
        if some and not delivery.away:
            answers = await send([{**entry.payload, "time": entry.create_time} for entry in some])
        for entry, answer in zip(some, answers, strict=True):
            delivery.note(entry, answer)
    failpoints.hit("runner.outbox.sent")
    await database.run(lambda connection: _record(connection, delivery))
    return delivery


async def _record(connection: Connection, delivery: Delivery) -> None:
    if delivery.taken:
        await outbox.delete_delivered(connection, delivery.taken)
    if delivery.later:
        await outbox.postpone(connection, delivery.later)
    if delivery.refused:
        await outbox.refuse(connection, delivery.refused, REFUSED_KEPT)


def _pause(attempts: int) -> float:
    return min(LONGEST_PAUSE_SECONDS, 0.2 * 2.0 ** min(attempts, 10))


def _gist(entry: LeasedEntry) -> dict[str, Any]:
    return {name: entry.payload.get(name) for name in ("job_id", "status", "firing_id", "state")}
