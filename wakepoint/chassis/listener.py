"""LISTEN on a connection of its own. A notification only says 'look now': losing every one of them loses time alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from functools import partial

import asyncpg
import structlog

from wakepoint.chassis import driver
from wakepoint.chassis.clock import Clock, SystemClock
from wakepoint.chassis.tasks import backoff

_KEEPALIVE_SECONDS = 15.0
_ANSWER_SECONDS = 5.0
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0

_log = structlog.stdlib.get_logger(__name__)


class Listener:
    """Calls `channels[name](payload)` for each notification, and `on_connect()` after each connect and reconnect.

    What was notified while there was no connection is gone, so `on_connect` has everything polled once. Both kinds of
    callback must not block; one that raises is logged. `dsn` must lead to Postgres itself: behind pgbouncer in
    transaction mode LISTEN silently receives nothing. Start it with `background.spawn("listener", listener.run)`.
    """

    def __init__(
        self,
        dsn: str,
        channels: Mapping[str, Callable[[str], None]],
        on_connect: Callable[[], None],
        *,
        application_name: str = "wakepoint-listener",
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._target = driver.Target.parse(dsn)
        self._channels = channels
        self._on_connect = on_connect
        self._application_name = application_name
        self._clock = clock or SystemClock()
        self._rng = rng or random.SystemRandom()
        self._connected = False

    @property
    def connected(self) -> bool:
        """Whether notifications arrive at the moment, as far as one can know."""
        return self._connected

    async def run(self) -> None:
        """Listen until cancelled, connecting again whenever the connection is lost."""
        failures = 0
        while True:
            try:
                connection = await self._connect()
            except Exception as error:
                if not driver.is_connection_trouble(error):
                    raise
                failures += 1
                _log.warning("listener cannot connect", failures_in_a_row=failures, error=str(error))
            else:
                failures = 0
                await self._listen(connection)
                _log.warning("listener lost its connection")
            await self._clock.sleep(
                backoff(failures + 1, self._rng, first=_FIRST_BACKOFF_SECONDS, longest=_LONGEST_BACKOFF_SECONDS)
            )

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._target.dsn,
            timeout=driver.CONNECT_TIMEOUT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": self._application_name},
        )

    async def _listen(self, connection: asyncpg.Connection) -> None:
        """Until the connection is lost. A silent server (a cut cable) is found out by asking for a sign of life."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            for channel, callback in self._channels.items():
                await connection.add_listener(channel, partial(self._notified, callback))
            self._connected = True
            self._guarded("on_connect", self._on_connect)
            while not await self._lost_within(lost, _KEEPALIVE_SECONDS):
                await connection.execute("select 1", timeout=_ANSWER_SECONDS)
        except Exception as error:
            if not driver.is_lost(error, connection):
                raise
        finally:
            self._connected = False
            connection.terminate()

    async def _lost_within(self, lost: asyncio.Event, seconds: float) -> bool:
        try:
            await self._clock.wait_for(lost.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _notified(
        self, callback: Callable[[str], None], _connection: object, _pid: int, channel: str, payload: object
    ) -> None:
        self._guarded(channel, partial(callback, str(payload)))

    def _guarded(self, what: str, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:  # noqa: BLE001 -- whatever it is, the other callbacks go on
            _log.exception("listener callback failed", callback=what)
