"""Fires timers when they are due, and looks once a second for those of other replicas."""

from runner_service.usecases.fire_timers import fire_timers, seconds_to_next_timer
from runner_service.worker.hub import Hub
from wakepoint.chassis.database import Database

POLL_SECONDS = 1.0


async def keep_firing(database: Database, hub: Hub) -> None:
    """Until cancelled."""
    while True:
        fired = await fire_timers(database, hub)
        if fired:
            continue
        due_in = await seconds_to_next_timer(database)
        # An overdue timer that did not fire belongs to a run somebody is deciding about: soon, but not in a hot loop.
        pause = POLL_SECONDS if due_in is None else min(max(due_in, 0.01), POLL_SECONDS)
        await hub.timers.wait(pause)
