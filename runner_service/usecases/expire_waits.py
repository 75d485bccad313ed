"""Waits that are over end: their nodes hear of it by an event of the runner's own, once."""

from runner_service.domain.runs import EXPIRY_SOURCE
from runner_service.domain.trigger_events import Address, TriggerEvent
from runner_service.storage import runs, wait_care
from runner_service.storage.wait_care import DueExpiry
from runner_service.usecases.deliver_events import Delivered, Wake, deliver_to_locked
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database

EXPIRED = "its wait expired"
STALE = "its wait went stale"


async def expire_waits(database: Database, signals: Signals, limit: int = 200) -> int:
    """End waits whose expire_time has passed, or that are stale and whose policy says so; how many ended."""
    async with database.connection() as connection:
        candidates = await wait_care.due_expiries(connection, limit)
    if not candidates:
        return 0
    delivered, cancelled = await database.run(lambda connection: _expire(connection, candidates))
    delivered.announce(signals)
    for run_id in cancelled:
        signals.run_cancelled(run_id)
        signals.log_grew(run_id)
    if cancelled:
        signals.outbox_grew()
    return len(delivered.results) + len(cancelled)


async def _expire(connection: Connection, candidates: list[str]) -> tuple[Delivered, list[str]]:
    # Who is deciding about a run right now is not waited for: the wait is still over when the sweep comes back.
    locked = await runs.lock_runs(connection, sorted(candidates), skip_locked=True)
    due = await wait_care.take_due_expiries(connection, list(locked))
    cancelled: dict[str, None] = {}
    wakes = []
    for wait in due:
        if not wait.expired and wait.stale_policy == "cancel":
            if await runs.cancel_run(connection, wait.run_id, f"node {wait.node_id}: {STALE}"):
                cancelled[wait.run_id] = None
        else:
            wakes.append(expiry(wait, EXPIRED if wait.expired else STALE))
    wakes = [wake for wake in wakes if wake.address.run_id not in cancelled]
    return await deliver_to_locked(connection, wakes, locked), list(cancelled)


def expiry(wait: DueExpiry, reason: str) -> Wake:
    """The event that ends a wait. Its identity is the activation and the time, so that one end comes once."""
    time = wait.expire_time if wait.expired else wait.stale_time
    assert time is not None, "a wait that is over was to end at some time"
    event = TriggerEvent(
        event_id=f"{wait.node_id}:{wait.activation}:{time.isoformat()}",
        source=EXPIRY_SOURCE,
        type="wakepoint.expiry",
        payload={"activation": wait.activation, "reason": reason},
        occur_time=time,
    )
    return Wake(Address(wait.run_id, wait.node_id), event)
