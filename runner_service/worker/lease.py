"""This replica's lease: prolonged from a thread of its own, so that a busy event loop does not look dead."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import asyncpg
import structlog

from runner_service.storage import replicas
from runner_service.usecases.take_over_runs import give_up_lease, register_replica
from wakepoint.chassis import driver
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.ids import new_id

_log = structlog.stdlib.get_logger(__name__)

# How much earlier than the database a replica considers its lease over: what it starts then is still within the lease.
MARGIN_SECONDS = 1.0


class Lease:
    """`valid()` is about the present `replica_id`; after `on_lost` was called, `renew_identity` enters a new one."""

    def __init__(
        self,
        database: Database,
        dsn: str,
        host: str,
        seconds: float,
        beat_seconds: float,
        node_types: Sequence[str] | None = None,
    ) -> None:
        self._node_types = node_types
        self._database = database
        self._target = driver.Target.parse(dsn)
        self._host = host
        self._length = timedelta(seconds=seconds)
        self._beat_seconds = beat_seconds
        self._valid_until = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.replica_id = ""

    def valid(self) -> bool:
        """Whether nobody can have taken this replica's runs yet, by this process's own monotonic clock."""
        return time.monotonic() < self._valid_until

    async def start(self, on_lost: Callable[[], None], before_beats: Callable[[], None] = lambda: None) -> None:
        """Enter among the living and keep the lease until `stop`. `on_lost` is called in the event loop, never before
        `before_beats`, which is called once the new identity is entered.
        """
        self._stop.clear()
        self.replica_id = new_id()
        began = time.monotonic()
        await register_replica(self._database, self.replica_id, self._host, os.getpid(), self._length, self._node_types)
        self._prolonged(began)
        before_beats()
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(on_lost)

        beat = partial(asyncio.run, self._beat(self.replica_id, tell))
        self._thread = threading.Thread(target=beat, name="lease", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Give the lease up, so that what is left behind is taken over at once; where that fails, it runs out."""
        await self.halt()
        try:
            await give_up_lease(self._database, self.replica_id)
        except WakepointError as error:
            _log.warning("the lease could not be given up", replica_id=self.replica_id, error=error.message)

    async def halt(self) -> None:
        """Stop prolonging."""
        self._stop.set()
        self._valid_until = 0.0
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _prolonged(self, began: float) -> None:
        self._valid_until = began + self._length.total_seconds() - MARGIN_SECONDS

    async def _beat(self, replica_id: str, on_lost: Callable[[], None]) -> None:
        connection: asyncpg.Connection | None = None
        while not self._stop.wait(self._beat_seconds):
            began = time.monotonic()
            try:
                if connection is None or connection.is_closed():
                    connection = await self._connect()
                alive = await replicas.prolong_lease(connection, replica_id, self._length)
            except Exception as error:  # noqa: BLE001 -- the next beat may succeed; without beats every run is lost
                _log.warning("the lease cannot be prolonged", error=str(error))
                _drop(connection)
                connection = None
                continue
            if not alive:
                self._valid_until = 0.0
                _log.error("this replica was declared dead; its runs go on elsewhere", replica_id=replica_id)
                on_lost()
                break
            self._prolonged(began)
        _drop(connection)

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._target.dsn,
            timeout=self._beat_seconds,
            command_timeout=self._beat_seconds,
            statement_cache_size=0,
            server_settings={"application_name": "wakepoint-runner-lease"},
        )


def _drop(connection: asyncpg.Connection | None) -> None:
    if connection is not None:
        connection.terminate()
