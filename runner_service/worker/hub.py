"""Signals within a replica, and to the others by NOTIFY: once per turn however many commits there were."""

from collections.abc import Callable, Iterable

import structlog

from runner_service.storage import notifications
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.tasks import Poke

_log = structlog.stdlib.get_logger(__name__)

READY_CHANNEL = "runner_ready"
INBOX_CHANNEL = "runner_inbox"
CANCELLED_CHANNEL = "runner_cancelled"


class Hub:
    """Implements `Signals`. What a held run is told goes through the callbacks that the worker sets.

    `inbox_changed` and `run_cancelled` answer whether this replica holds the run; if not, the others are told.
    """

    def __init__(self, database: Database, log_grew: Callable[[str], None]) -> None:
        self._database = database
        self._log_grew = log_grew
        self._to_tell: set[tuple[str, str]] = set()
        self._tell = Poke()
        self.ready = Poke()
        self.timers = Poke()
        self.jobs = Poke()
        self.outbox = Poke()
        self.fan_out = Poke()
        self.upkeep = Poke()
        self.on_inbox_changed: Callable[[str], bool] = lambda _: False
        self.on_cancelled: Callable[[str], bool] = lambda _: False

    def runs_ready(self) -> None:
        """See Signals."""
        self.ready.poke()
        self._notify(READY_CHANNEL, "")

    def inbox_changed(self, run_ids: Iterable[str]) -> None:
        """See Signals."""
        for run_id in run_ids:
            if not self.on_inbox_changed(run_id):
                self._notify(INBOX_CHANNEL, run_id)

    def run_cancelled(self, run_id: str) -> None:
        """See Signals."""
        self.jobs.poke()
        self.upkeep.poke()
        if not self.on_cancelled(run_id):
            self._notify(CANCELLED_CHANNEL, run_id)

    def log_grew(self, run_id: str) -> None:
        """See Signals."""
        self._log_grew(run_id)

    def jobs_changed(self) -> None:
        """See Signals."""
        self.jobs.poke()

    def outbox_grew(self) -> None:
        """See Signals."""
        self.outbox.poke()

    def fan_out_grew(self) -> None:
        """See Signals."""
        self.fan_out.poke()

    def run_ended(self) -> None:
        """See Signals."""
        self.upkeep.poke()

    def timers_changed(self) -> None:
        """See Signals."""
        self.timers.poke()

    def heard(self) -> dict[str, Callable[[str], None]]:
        """What to do on notifications of other replicas, by channel."""
        return {
            READY_CHANNEL: lambda _: self.ready.poke(),
            INBOX_CHANNEL: lambda run_id: _ignore(self.on_inbox_changed(run_id)),
            CANCELLED_CHANNEL: lambda run_id: _ignore(self.on_cancelled(run_id)),
        }

    def look_at_everything(self) -> None:
        """After a (re)connection, when notifications may have been missed."""
        for poke in (self.ready, self.timers, self.jobs, self.outbox, self.fan_out, self.upkeep):
            poke.poke()

    async def run(self) -> None:
        """Tell the other replicas, until cancelled. A database that is away is passed over: everybody polls as well."""
        while True:
            await self._tell.wait()
            told, self._to_tell = self._to_tell, set()
            try:
                async with self._database.connection() as connection:
                    await notifications.notify(connection, sorted(told))
            except WakepointError as error:
                _log.warning("other replicas could not be told", error=error.message)

    def _notify(self, channel: str, payload: str) -> None:
        self._to_tell.add((channel, payload))
        self._tell.poke()


def _ignore(_: bool) -> None:
    return None
