"""The composition root: the only place where the parts of the service meet."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from starlette.applications import Starlette

from runner_service.backends.loading import load_backends
from runner_service.domain.runs import WaitHealth
from runner_service.domain.trigger_events import TriggerEvent
from runner_service.domain.webhooks import MIN_KEY_BYTES, WebhookTarget, WebhookTokens
from runner_service.http.app import make_app
from runner_service.http.ports import HookNode
from runner_service.http.rest import make_rest
from runner_service.nodes.registry import NodeRegistry
from runner_service.rpc.servicer import SERVICE_NAME, RunnerServicer, register
from runner_service.rpc.trigger_client import TriggerClient
from runner_service.settings import Settings
from runner_service.usecases.deliver_events import WakeResult
from runner_service.usecases.deliver_outbox import TriggerService
from runner_service.usecases.execution.environment import Environment
from runner_service.usecases.find_hook_node import find_hook_node
from runner_service.usecases.retain import Ages
from runner_service.usecases.wake_up import WakeUpRequest, wake_up
from runner_service.usecases.watch_run import LogWatch
from runner_service.worker.archive import Archive
from runner_service.worker.hot_waits import BoundedHotWaits
from runner_service.worker.hub import Hub
from runner_service.worker.jobs import JobKeeper, JobLimits
from runner_service.worker.lease import Lease
from runner_service.worker.plans import PlanCache
from runner_service.worker.replica import Replica
from runner_service.worker.retention import Retention, keep_retaining
from runner_service.worker.vitals import Vitals
from runner_service.worker.worker import Worker, WorkerLimits
from wakepoint.chassis.clock import Clock, SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.listener import Listener
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.migrations import migrate
from wakepoint.chassis.server import ServiceHost
from wakepoint.chassis.tasks import Background
from wakepoint.chassis.transcoder import Transcoder
from wakepoint.nodes import Webhook

SCHEMA = "runner"
MIGRATIONS = "runner_service.storage.migrations"

_log = structlog.stdlib.get_logger(__name__)


async def serve(settings: Settings) -> None:
    """Serve until told to stop."""
    metrics, clock = Metrics(), SystemClock()
    registry = NodeRegistry.load(settings.node_files())
    async with ServiceHost(settings, metrics) as host:
        await migrate(settings.dsn, schema=SCHEMA, package=MIGRATIONS, mode=settings.migrate)
        database = await Database.open(settings.dsn, application_name="wakepoint-runner", max_size=settings.pool_size)
        host.on_stop(database.close)
        host.check("database", database.ping)
        trigger_service = TriggerClient(settings.trigger_address)
        host.on_stop(trigger_service.close)
        log_watch = LogWatch(clock)
        hub = Hub(await _open_notifier(settings, host), log_watch.grew)
        webhooks = Webhooks(tokens_of(settings), settings.public_url or f"http://{host.addresses.http}")
        crashes = metrics.counter("loop_crashes", "Background loops that crashed and were started again.", ["loop"])
        background = Background(on_crash=lambda name: crashes.labels(name).inc())
        replica = build_replica(
            settings, database, clock, registry, hub, trigger_service, webhooks.webhook_of, background
        )
        servicer = RunnerServicer(
            database=database,
            signals=hub,
            registry=registry,
            log_watch=log_watch,
            clock=clock,
            webhook_url=webhooks.url_of,
            job_events_kept=timedelta(hours=settings.job_events_kept_hours),
            wake_latency=replica.worker.vitals.wake_latency,
        )
        _measure(metrics, replica.worker.vitals)
        serving = partial(register, servicer)
        host.add_grpc(SERVICE_NAME, serving)
        rest = make_rest(serving, host.interceptors, settings.max_message_bytes)
        host.mount(_http_app(database, hub, registry, webhooks.tokens, clock, rest))
        _listen(settings, hub, background)
        await replica.start()
        host.on_drain(replica.drain)
        host.on_drain(rest.end_streams)
        await host.run()


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The addresses at which nodes take requests."""

    tokens: WebhookTokens
    base_url: str

    def webhook_of(self, target: WebhookTarget) -> Webhook:
        """A node's webhook."""
        return Webhook(target.webhook_id, self.url_of(target))

    def url_of(self, target: WebhookTarget) -> str:
        """The address that only those learn who may read the run."""
        return f"{self.base_url}/hooks/{self.tokens.derive(target)}"


def tokens_of(settings: Settings) -> WebhookTokens:
    """Tokens signed with the operator's key. InvalidArgument for one that is too short."""
    key = settings.webhook_key.get_secret_value().encode()
    if not key:
        _log.warning("RUNNER_WEBHOOK_KEY is not set: webhook addresses change with each start, and between replicas")
        key = secrets.token_bytes(MIN_KEY_BYTES)
    try:
        return WebhookTokens([key])
    except ValueError as error:
        raise InvalidArgument.of("RUNNER_WEBHOOK_KEY", str(error)) from None


async def _open_notifier(settings: Settings, host: ServiceHost) -> Database:
    # A connection of its own, so that telling other replicas never waits for, or delays, anybody's commit.
    database = await Database.open(settings.dsn, application_name="wakepoint-runner-notify", min_size=1, max_size=1)
    host.on_stop(database.close)
    return database


def _http_app(
    database: Database,
    hub: Hub,
    registry: NodeRegistry,
    tokens: WebhookTokens,
    clock: Clock,
    rest: Transcoder | None = None,
) -> Starlette:
    async def node_of(target: WebhookTarget) -> HookNode | None:
        found = await find_hook_node(database, target)
        if found is None:
            return None
        return HookNode(found.node_type, found.properties, found.workflow_id, found.finished)

    async def deliver(target: WebhookTarget, event: TriggerEvent) -> WakeResult:
        experiment_id = target.experiment_id or None
        request = WakeUpRequest(target.node_id, event, target.run_id, target.workflow_id, experiment_id)
        return await wake_up(database, hub, request)

    return make_app(tokens=tokens, registry=registry, node_of=node_of, deliver=deliver, clock=clock, rest=rest)


def _measure(metrics: Metrics, vitals: Vitals) -> None:
    for health in (WaitHealth.OVERDUE, WaitHealth.STALE, WaitHealth.FAILING):
        name = health.lower()
        metrics.gauge(f"waits_{name}", f"Waits that are {name}, on all replicas.", partial(_unwell, vitals, health))


def _unwell(vitals: Vitals, health: WaitHealth) -> float:
    return vitals.unwell.get(health, 0)


def _listen(settings: Settings, hub: Hub, background: Background) -> None:
    listener = Listener(
        settings.listen_dsn, hub.heard(), hub.look_at_everything, application_name="wakepoint-runner-listen"
    )
    background.spawn("listener", listener.run)


def build_replica(
    settings: Settings,
    database: Database,
    clock: Clock,
    registry: NodeRegistry,
    hub: Hub,
    trigger_service: TriggerService,
    webhook_of: Callable[[WebhookTarget], Webhook],
    background: Background,
) -> Replica:
    """Everything that runs besides answering calls."""
    lease = Lease(
        database,
        settings.listen_dsn,
        settings.host,
        settings.lease_seconds,
        settings.heartbeat_seconds,
        sorted(registry.facts),
    )
    environment = Environment(
        database=database,
        clock=clock,
        registry=registry,
        signals=hub,
        hot_waits=BoundedHotWaits(settings.max_hot_waits),
        holds_lease=lease.valid,
        webhook_of=webhook_of,
        plan_of=PlanCache(registry.facts).plan_of,
        host=settings.host,
        compact_after=settings.compact_after_activations,
    )
    limits = WorkerLimits(
        executing=settings.executing_runs,
        drain_seconds=settings.drain_seconds / 2,
        max_crashes=settings.max_crashes,
    )
    return Replica(
        database=database,
        hub=hub,
        worker=Worker(environment, hub, lease, limits),
        jobs=JobKeeper(
            database,
            clock,
            hub,
            settings.host,
            load_backends(settings.jobs_dir, settings.job_environment()),
            JobLimits(
                kept=timedelta(days=settings.jobs_kept_days), silence=timedelta(seconds=settings.job_host_lost_seconds)
            ),
        ),
        trigger_service=trigger_service,
        background=background,
        retain=partial(keep_retaining, database, clock, retention_of(settings)),
    )


def retention_of(settings: Settings) -> Retention:
    """What is removed when."""
    # A job's row tells until when its files are kept; a day more, so that they are gone by then.
    jobs = timedelta(days=settings.jobs_kept_days + 1)
    ages = Ages(
        runs=timedelta(days=settings.finished_runs_kept_days),
        jobs=jobs,
        events=timedelta(days=settings.settled_events_kept_days),
    )
    archive = None if settings.archive_dir is None else Archive(settings.archive_dir).keep
    return Retention(ages, settings.retention_seconds, archive)
