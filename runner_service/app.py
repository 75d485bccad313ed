"""The composition root: the only place where the parts of the service meet."""

from collections.abc import Callable

from runner_service.backends.subprocess import SubprocessBackend
from runner_service.nodes.registry import NodeRegistry
from runner_service.settings import Settings
from runner_service.usecases.deliver_outbox import TriggerService
from runner_service.usecases.execution.environment import Environment
from runner_service.worker.hot_waits import BoundedHotWaits
from runner_service.worker.hub import Hub
from runner_service.worker.jobs import JobKeeper
from runner_service.worker.lease import Lease
from runner_service.worker.plans import PlanCache
from runner_service.worker.replica import Replica
from runner_service.worker.worker import Worker, WorkerLimits
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.chassis.tasks import Background
from wakepoint.nodes import Webhook

SCHEMA = "runner"
MIGRATIONS = "runner_service.storage.migrations"


def build_replica(
    settings: Settings,
    database: Database,
    clock: Clock,
    registry: NodeRegistry,
    hub: Hub,
    trigger_service: TriggerService,
    webhook_of: Callable[[str, str], Webhook],
    background: Background,
) -> Replica:
    """Everything that runs besides answering calls."""
    lease = Lease(database, settings.listen_dsn, settings.host, settings.lease_seconds, settings.heartbeat_seconds)
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
            {"subprocess": SubprocessBackend(settings.jobs_dir, settings.job_environment())},
        ),
        trigger_service=trigger_service,
        background=background,
    )
