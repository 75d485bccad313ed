"""Removes, now and then, what is over and old enough."""

from dataclasses import dataclass
from functools import partial

import structlog

from runner_service.usecases.retain import Ages, Archive, retain
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import WakepointError

PAUSE_SECONDS = 0.05
"""Between two batches, so that others get at the tables."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """`every` seconds; `archive` None: what is removed is gone."""

    ages: Ages
    every: float
    archive: Archive | None = None


async def keep_retaining(database: Database, clock: Clock, retention: Retention) -> None:
    """Until cancelled. What cannot be archived stays."""
    pause = partial(clock.sleep, PAUSE_SECONDS)
    while True:
        await clock.sleep(retention.every)
        try:
            await retain(database, retention.ages, pause, retention.archive)
        except WakepointError as error:
            _log.warning("old runs could not be removed", error=error.message)
