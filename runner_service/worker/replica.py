"""A replica: the worker with all its loops, to be started and drained as one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from runner_service.usecases.deliver_outbox import TriggerService
from runner_service.worker.fan_out import keep_fanning_out
from runner_service.worker.hub import Hub
from runner_service.worker.jobs import JobKeeper
from runner_service.worker.outbox import keep_delivering
from runner_service.worker.timers import keep_firing
from runner_service.worker.upkeep import keep_up
from runner_service.worker.worker import Worker
from wakepoint.chassis.database import Database
from wakepoint.chassis.tasks import Background


@dataclass(slots=True)
class Replica:
    """Everything that runs besides answering calls."""

    database: Database
    hub: Hub
    worker: Worker
    jobs: JobKeeper
    trigger_service: TriggerService
    background: Background
    retain: Callable[[], Awaitable[None]]

    async def start(self) -> None:
        """Enter among the living and start every loop."""
        await self.worker.start()
        loops = {
            "claim": self.worker.claim,
            "watch": self.worker.watch,
            "notify": self.hub.run,
            "timers": lambda: keep_firing(self.database, self.hub),
            "jobs": self.jobs.run,
            "upkeep": lambda: keep_up(self.database, self.hub, self.worker.vitals.count),
            "retention": self.retain,
            "fan_out": lambda: keep_fanning_out(self.database, self.hub),
            "outbox": lambda: keep_delivering(self.database, self.trigger_service, self.hub),
        }
        for name, loop in loops.items():
            self.background.spawn(name, loop)

    async def drain(self) -> None:
        """Give up every run in good order, then stop the loops."""
        await self.worker.drain()
        await self.background.stop()
