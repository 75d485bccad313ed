"""The loops beside the dispatcher: releasing, written and silent jobs, telling the runner of events, retention."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from trigger_service.dispatcher.deliverer import Deliverer, EventReceiver
from trigger_service.dispatcher.rounds import Rounds
from trigger_service.dispatcher.sweeper import Sweeper
from trigger_service.settings import Settings
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.release_firings import release_firings
from trigger_service.usecases.retain import Ages, retain
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.tasks import Poke

_BETWEEN_BATCHES_SECONDS = 0.05


def upkeep(
    settings: Settings, env: Environment, receiver: EventReceiver, deliveries_due: Poke, clock: Clock
) -> Iterator[Rounds]:
    """The loops to run; a service that only watches tells nobody anything. InvalidArgument for contradicting ages."""
    ages = _ages(settings)
    yield Rounds("sweeper", Sweeper(env, clock).sweep_once, Poke(clock), settings.sweep_poll)
    if not env.is_shadow:
        lease = timedelta(seconds=settings.dispatch_lease)
        deliverer = Deliverer(env.database, receiver, clock, random.SystemRandom(), lease=lease)
        yield Rounds("deliverer", deliverer.deliver_once, deliveries_due, settings.dispatch_poll)
        yield Rounds("releaser", partial(release_firings, env), Poke(clock), settings.dispatch_poll)

    async def retain_once() -> bool:
        await retain(env.database, ages, between=lambda: clock.sleep(_BETWEEN_BATCHES_SECONDS))
        return False

    yield Rounds("retention", retain_once, Poke(clock), settings.retention_poll)


def _ages(settings: Settings) -> Ages:
    if settings.keep_keys_days < settings.keep_history_days:
        raise InvalidArgument.of("TRIGGER_KEEP_KEYS_DAYS", "must not be less than TRIGGER_KEEP_HISTORY_DAYS")
    return Ages(
        history=timedelta(days=settings.keep_history_days),
        keys=timedelta(days=settings.keep_keys_days),
        requests=timedelta(days=settings.keep_requests_days),
    )
