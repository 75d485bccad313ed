"""The composition root: the only place where the parts of the service meet."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial

import pydantic

from trigger_service.dispatcher.announcer import Announcer
from trigger_service.dispatcher.loop import Dispatcher, Pace
from trigger_service.dispatcher.upkeep import upkeep
from trigger_service.domain.blueprints import Blueprint, Blueprints, on_offer
from trigger_service.http.app import http_app
from trigger_service.http.rest import make_rest
from trigger_service.rpc.runner_client import RunnerClient
from trigger_service.rpc.servicer import SERVICE_NAME, Servicer, register
from trigger_service.settings import Settings
from trigger_service.storage.notifications import FIRINGS_DUE
from trigger_service.usecases.conditions import Conditions
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.offer_blueprints import offer_blueprints
from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import InvalidArgument, from_validation_error
from wakepoint.chassis.ids import new_id
from wakepoint.chassis.listener import Listener
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.migrations import migrate
from wakepoint.chassis.server import ServiceHost
from wakepoint.chassis.tasks import Background, Poke

SCHEMA = "trigger"
MIGRATIONS = "trigger_service.storage.migrations"


async def serve(settings: Settings) -> None:
    """Serve until told to stop."""
    metrics = Metrics()
    blueprints = blueprints_of(settings)
    async with ServiceHost(settings, metrics) as host:
        await migrate(settings.dsn, schema=SCHEMA, package=MIGRATIONS, mode=settings.migrate)
        database = await Database.open(settings.dsn, application_name="wakepoint-trigger", max_size=settings.pool_size)
        host.on_stop(database.close)
        host.check("database", database.ping)
        await offer_blueprints(database, blueprints)
        runner = RunnerClient(settings.runner_address, deadline=settings.runner_deadline)
        host.on_stop(runner.close)
        firings_due = Poke()
        announcer = await _open_announcer(settings, host)
        dispatcher = Dispatcher(database, runner, firings_due, SystemClock(), random.SystemRandom(), pace_of(settings))
        background = _start_loops(settings, host, metrics, dispatcher, announcer, firings_due)

        def wake_dispatchers() -> None:
            firings_due.poke()
            announcer.announce()

        deliveries_due = Poke()
        is_shadow = settings.mode == "shadow"
        env = Environment(
            database,
            blueprints,
            Conditions(),
            runner,
            wake_dispatchers,
            settings.max_depth,
            deliveries_due=deliveries_due.poke,
            is_shadow=is_shadow,
        )
        for rounds in upkeep(settings, env, runner, deliveries_due, SystemClock()):
            background.spawn(rounds.name, rounds.run)
        serving = partial(register, Servicer(env))
        host.add_grpc(SERVICE_NAME, serving)
        host.mount(http_app(make_rest(env, serving, host.interceptors, settings.max_message_bytes)))
        await host.run()


def blueprints_of(settings: Settings) -> Blueprints:
    """The blueprints on offer. InvalidArgument when the operator's own are faulty."""
    try:
        return on_offer([Blueprint.model_validate(fields) for fields in settings.blueprints])
    except pydantic.ValidationError as error:
        raise InvalidArgument.from_violations(from_validation_error(error, "TRIGGER_BLUEPRINTS")) from None
    except ValueError as error:
        raise InvalidArgument.of("TRIGGER_BLUEPRINTS", str(error)) from None


def pace_of(settings: Settings) -> Pace:
    """How the dispatcher works. InvalidArgument for a lease that ends before the call that it covers can."""
    if settings.dispatch_lease <= settings.runner_deadline:
        raise InvalidArgument.of("TRIGGER_DISPATCH_LEASE", "must be longer than TRIGGER_RUNNER_DEADLINE")
    return Pace(
        batch=settings.dispatch_batch,
        lease=timedelta(seconds=settings.dispatch_lease),
        poll_seconds=settings.dispatch_poll,
        give_up_after=settings.dispatch_give_up_after,
        first_retry_seconds=settings.dispatch_first_retry,
        longest_retry_seconds=settings.dispatch_longest_retry,
    )


async def _open_announcer(settings: Settings, host: ServiceHost) -> Announcer:
    own_connection = await Database.open(
        settings.dsn, application_name="wakepoint-trigger-notify", min_size=1, max_size=1
    )
    host.on_stop(own_connection.close)
    return Announcer(own_connection, new_id(), Poke())


def _start_loops(
    settings: Settings,
    host: ServiceHost,
    metrics: Metrics,
    dispatcher: Dispatcher,
    announcer: Announcer,
    firings_due: Poke,
) -> Background:
    crashes = metrics.counter("loop_crashes", "Background loops that crashed and were started again.", ["loop"])
    metrics.gauge("runner_away", "1 while the runner does not answer.", lambda: float(dispatcher.runner_is_away))
    background = Background(on_crash=lambda name: crashes.labels(name).inc())
    host.on_drain(dispatcher.stop)
    host.on_drain(background.stop)
    listener = Listener(
        settings.listen_dsn,
        {FIRINGS_DUE: lambda replica: None if replica == announcer.replica_id else firings_due.poke()},
        firings_due.poke,
        application_name="wakepoint-trigger-listen",
    )
    if settings.mode == "live":
        background.spawn("dispatcher", dispatcher.run)
    background.spawn("announcer", announcer.run)
    background.spawn("listener", listener.run)
    return background
