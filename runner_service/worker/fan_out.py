"""Puts published events into inboxes as soon as there are any, and forgets what nobody can get any more."""

import asyncio
import time

from runner_service.usecases.fan_out import fan_out_events, forget_published
from runner_service.worker.hub import Hub
from wakepoint.chassis.database import Database

POLL_SECONDS = 1.0
BUSY_PAUSE_SECONDS = 0.02
FORGET_EVERY_SECONDS = 60.0


async def keep_fanning_out(database: Database, hub: Hub) -> None:
    """Until cancelled."""
    forgotten = time.monotonic()
    while True:
        batch = await fan_out_events(database, hub)
        if batch.done:
            continue
        if batch.found:
            # Others are deciding about these very runs: soon, but not in a hot loop.
            await asyncio.sleep(BUSY_PAUSE_SECONDS)
            continue
        if time.monotonic() - forgotten > FORGET_EVERY_SECONDS:
            await forget_published(database)
            forgotten = time.monotonic()
        await hub.fan_out.wait(POLL_SECONDS)
