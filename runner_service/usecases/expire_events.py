"""Events whose expire_time passes while they are pending leave their inboxes."""

from collections import defaultdict

from runner_service.domain.history import Line, trigger_event_expired
from runner_service.domain.projection import RunState
from runner_service.storage import journal, runs, trigger_events
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database


async def expire_events(database: Database, signals: Signals, limit: int = 200) -> int:
    """Expire what is late in the inboxes of runs that nobody holds; how many events. A holder sees to its own run."""
    async with database.connection() as connection:
        candidates = await trigger_events.late_events(connection, limit)
    if not candidates:
        return 0
    late = await database.run(lambda connection: _expire(connection, candidates))
    for run_id in {event.run_id for event in late}:
        signals.log_grew(run_id)
    return len(late)


async def _expire(connection: Connection, candidates: list[str]) -> list[trigger_events.LateEvent]:
    locked = await runs.lock_runs(connection, sorted(candidates), skip_locked=True)
    # Whoever claims a run from now on has to wait for this; whoever has claimed it already may have taken the event.
    free = [run_id for run_id, run in locked.items() if run.state in (RunState.QUEUED, RunState.SUSPENDED)]
    late = await trigger_events.expire_events(connection, free)
    lines: dict[str, list[Line]] = defaultdict(list)
    for event in late:
        lines[event.run_id].append(trigger_event_expired(event.node_id, event.inbox_seq, event.event_id))
    await journal.append_lines(connection, lines)
    return late
