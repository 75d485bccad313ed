"""Timers fire from the database, once each: a due time is taken from its wait in the transaction that delivers it."""

from runner_service.domain.history import timer_fired
from runner_service.domain.runs import TIMER_SOURCE
from runner_service.domain.trigger_events import Address, TriggerEvent
from runner_service.storage import runs, waits
from runner_service.usecases.deliver_events import Delivered, Wake, deliver_to_locked
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database


async def fire_timers(database: Database, signals: Signals, limit: int = 500) -> int:
    """Fire up to `limit` due timers; how many candidates there were, so that the caller comes back while there are
    any.
    """
    async with database.connection() as connection:
        candidates = await waits.due_waits(connection, limit)
    if not candidates:
        return 0
    delivered = await database.run(lambda connection: _fire(connection, candidates))
    delivered.announce(signals)
    return len(delivered.results)


async def seconds_to_next_timer(database: Database) -> float | None:
    """None when nothing waits for a time; negative when a timer is overdue."""
    async with database.connection() as connection:
        return await waits.next_wake_seconds(connection)


async def _fire(connection: Connection, candidates: list[Address]) -> Delivered:
    # Who is deciding about a run right now is not waited for: its timer is still due when the sweep comes back.
    locked = await runs.lock_runs(connection, sorted({a.run_id for a in candidates}), skip_locked=True)
    due = await waits.take_due_times(connection, [a for a in candidates if a.run_id in locked])
    wakes = [
        Wake(Address(timer.run_id, timer.node_id), timer_event(timer), timer_fired(timer.node_id, timer.wake_time))
        for timer in due
    ]
    return await deliver_to_locked(connection, wakes, locked)


def timer_event(timer: waits.DueTimer) -> TriggerEvent:
    """Its identity is the node's activation and the time, so that one time never wakes a node twice."""
    time = timer.wake_time.isoformat()
    return TriggerEvent(
        event_id=f"{timer.node_id}:{timer.activation}:{time}",
        source=TIMER_SOURCE,
        type="wakepoint.timer",
        payload={"wake_time": time},
        occur_time=timer.wake_time,
    )
