"""The log of a run hears when a wait of it fares otherwise than before."""

from collections import defaultdict

from runner_service.domain.history import Line, health_changed
from runner_service.domain.runs import WaitHealth
from runner_service.storage import journal, runs, wait_care
from runner_service.storage.wait_care import ChangedHealth
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database


async def watch_health(database: Database, signals: Signals, limit: int = 200) -> int:
    """Tell what has changed; how many waits that was."""
    async with database.connection() as connection:
        candidates = await wait_care.changed_healths(connection, limit)
    if not candidates:
        return 0
    changed = await database.run(lambda connection: _tell(connection, candidates))
    for change in changed:
        signals.log_grew(change.run_id)
    return len(changed)


async def count_unwell(database: Database) -> dict[WaitHealth, int]:
    """How many waits are overdue, stale or failing now."""
    async with database.connection() as connection:
        return await wait_care.count_unwell(connection)


async def _tell(connection: Connection, candidates: list[str]) -> list[ChangedHealth]:
    locked = await runs.lock_runs(connection, sorted(candidates), skip_locked=True)
    changed = await wait_care.take_changed_healths(connection, list(locked))
    lines: dict[str, list[Line]] = defaultdict(list)
    for change in changed:
        line = health_changed(change.node_id, change.activation, change.before, change.after, _reason(change))
        lines[change.run_id].append(line)
    await journal.append_lines(connection, lines)
    return changed


def _reason(change: ChangedHealth) -> str:
    match change.after:
        case WaitHealth.FAILING:
            return f"{change.failures} attempts in a row failed"
        case WaitHealth.OVERDUE:
            return f"its timer was due at {change.wake_time}"
        case WaitHealth.STALE:
            return f"no event since before {change.stale_time}"
        case WaitHealth.OK:
            return "its time is ahead again"
