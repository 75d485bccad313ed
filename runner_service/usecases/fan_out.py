"""Put published events into the inboxes of those they reach: in batches, after the acknowledgement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from runner_service.domain.runs import Disposition
from runner_service.storage import fan_out, runs, topics
from runner_service.storage.fan_out import Addressed, DueDelivery
from runner_service.usecases.deliver_events import Delivered, Wake, deliver_to_locked
from runner_service.usecases.signals import Signals
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database

BATCH = 500
BATCH_BYTES = 8 * 2**20
FULL_INBOX_PAUSE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class FannedOut:
    """What became of one batch: `found` deliveries were due, `done` of them are settled."""

    found: int
    done: int


async def fan_out_events(database: Database, signals: Signals, limit: int = BATCH) -> FannedOut:
    """Deliver one batch in one transaction. A run that somebody is deciding about is left for the next batch."""
    async with database.connection() as connection:
        due = await fan_out.due_fan_out(connection, limit, BATCH_BYTES)
    if not due:
        return FannedOut(0, 0)
    delivered, done = await database.run(lambda connection: _deliver(connection, due))
    failpoints.hit("runner.fan_out.after_commit")
    delivered.announce(signals)
    return FannedOut(len(due), done)


async def forget_published(database: Database, limit: int = 1_000) -> None:
    """Remove what is retained for nobody any more, a batch at a time."""
    async with database.connection() as connection:
        while await topics.forget_publications(connection, limit) == limit:
            pass
        while await topics.forget_topics(connection, limit) == limit:
            pass


async def _deliver(connection: Connection, due: Sequence[DueDelivery]) -> tuple[Delivered, int]:
    locked = await runs.lock_runs(connection, sorted({one.run_id for one in due}), skip_locked=True)
    ours = [one.fan_out_id for one in due if one.run_id in locked or one.run_is_gone]
    # Read in a statement of its own: what another replica delivered before the lock was ours is not there any more.
    addressed = await fan_out.read_fan_out(connection, ours)
    events = await fan_out.read_publications(connection, sorted({one.publication_id for one in addressed}))
    wakes = [Wake(one.address, events[one.publication_id], in_time=True) for one in addressed]
    delivered = await deliver_to_locked(connection, wakes, locked)
    await _settle(connection, addressed, delivered)
    failpoints.hit("runner.fan_out.before_commit")
    return delivered, len(addressed)


async def _settle(connection: Connection, addressed: Sequence[Addressed], delivered: Delivered) -> None:
    full = [
        one.fan_out_id
        for one, result in zip(addressed, delivered.results, strict=True)
        if result.disposition is Disposition.INBOX_FULL
    ]
    if full:
        await fan_out.postpone_fan_out(connection, full, FULL_INBOX_PAUSE)
    await fan_out.remove_fan_out(connection, [one.fan_out_id for one in addressed if one.fan_out_id not in set(full)])
