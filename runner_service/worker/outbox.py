"""Delivers the outbox as soon as there is something in it."""

import asyncio
import random

import structlog

from runner_service.usecases.deliver_outbox import TriggerService, deliver_outbox
from runner_service.worker.hub import Hub
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.tasks import backoff

POLL_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.1
# How late trigger_service may hear of what happened while it was away, once it is back.
LONGEST_PAUSE_SECONDS = 5.0

_log = structlog.stdlib.get_logger(__name__)
_rng = random.SystemRandom()


async def keep_delivering(database: Database, trigger_service: TriggerService, hub: Hub) -> None:
    """Until cancelled. While the peer or the database is away, one batch is tried now and then."""
    failures = 0
    while True:
        found, away = await _deliver(database, trigger_service)
        if away:
            failures += 1
            pause = backoff(failures, _rng, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
            _log.warning("the outbox cannot be delivered", away=away, again_in_seconds=round(pause, 1))
            await asyncio.sleep(pause)
            continue
        failures = 0
        if not found:
            await hub.outbox.wait(POLL_SECONDS)


async def _deliver(database: Database, trigger_service: TriggerService) -> tuple[int, str]:
    """How many entries were due, and who, if anybody, was away."""
    try:
        delivery = await deliver_outbox(database, trigger_service)
    except WakepointError as error:
        return 0, error.message
    return delivery.found, "trigger_service" if delivery.away else ""
