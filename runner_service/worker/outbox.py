"""Delivers the outbox as soon as there is something in it."""

from runner_service.usecases.deliver_outbox import TriggerService, deliver_outbox
from runner_service.worker.hub import Hub
from wakepoint.chassis.database import Database

POLL_SECONDS = 1.0


async def keep_delivering(database: Database, trigger_service: TriggerService, hub: Hub) -> None:
    """Until cancelled."""
    while True:
        if not await deliver_outbox(database, trigger_service):
            await hub.outbox.wait(POLL_SECONDS)
