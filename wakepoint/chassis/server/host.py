"""The life of a service process, from taking its addresses to the end of the last call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import structlog
from starlette.applications import Starlette

from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.logging import setup_logging
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.server.addresses import Addresses, bind, require_loopback, taken
from wakepoint.chassis.server.readiness import Phase, Readiness
from wakepoint.chassis.server.rpc import RpcServer
from wakepoint.chassis.server.web import WebServer, management_app
from wakepoint.chassis.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)

_CALL_GRACE_SECONDS = 5.0  # for calls still running once everything is drained
_HEALTH_SECONDS = 1.0

_log = structlog.stdlib.get_logger(__name__)


class ServiceHost:
    """Owns the three addresses of a service and the order of its start and its end.

    Entering takes the addresses and serves the management port: alive, not ready. `start` serves the rest and turns
    ready. Leaving drains: readiness and health off, `on_drain` callbacks in the order added, gRPC with grace, HTTP,
    `on_stop` callbacks in reverse order, the management port last; also after an exception. Callbacks that fail are
    logged.

    Raises InvalidArgument for an address that is not loopback (see `require_loopback`), OSError for one that is taken.
    """

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._readiness = Readiness()
        self._drains: list[Callable[[], Awaitable[None]]] = []
        self._stops: list[Callable[[], Awaitable[None]]] = []
        self._app: Any = Starlette()
        self._web: WebServer | None = None
        self._health: asyncio.Task[None] | None = None
        self._told_to_stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        require_loopback(self._settings)
        self._rpc = RpcServer(self._settings, self._metrics)
        with contextlib.ExitStack() as taken_so_far:
            reuse = self._settings.reuse_port
            management = taken_so_far.enter_context(bind(self._settings.management_address, reuse_port=reuse))
            self._http_socket = taken_so_far.enter_context(bind(self._settings.http_address, reuse_port=reuse))
            self.addresses = Addresses(self._rpc.bind(), taken(self._http_socket), taken(management))
            self._management = WebServer(management_app(self._readiness, self._metrics), management, grace=1.0)
            await self._management.start()
            taken_so_far.pop_all()  # from here on __aexit__ closes them
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drain()
        await self._rpc.stop(_CALL_GRACE_SECONDS)
        if self._web is not None:
            await self._web.stop()
        self._http_socket.close()
        for stop in reversed(self._stops):
            await _quietly(stop)
        await self._management.stop()
        _log.info("stopped")

    @property
    def interceptors(self) -> Sequence[grpc.aio.ServerInterceptor[Any, Any]]:
        """What stands around every RPC, for whoever calls the same methods by another way."""
        return self._rpc.interceptors

    def add_grpc(self, name: str, register: Callable[[grpc.aio.Server], None]) -> None:
        """Serve the gRPC service with the full name `name`; `register` is the generated `add_..._to_server`, bound."""
        self._rpc.add(name, register)

    def mount(self, app: Any) -> None:
        """Serve this ASGI application on the HTTP address; without one everything there is 404."""
        self._app = app

    def check(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
        """The service is ready only while `check` does not raise; it is awaited each second and at each /readyz."""
        self._readiness.add(name, check)

    def on_drain(self, drain: Callable[[], Awaitable[None]]) -> None:
        """Await `drain` when the service is told to stop: not ready any more, calls still answered."""
        self._drains.append(drain)

    def on_stop(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Await `stop` when no call is answered any more, in reverse order of adding."""
        self._stops.append(stop)

    async def start(self) -> Addresses:
        """Serve gRPC and HTTP and turn ready; the addresses, which are also written to the address file and logged."""
        await self._rpc.start()
        self._web = WebServer(self._app, self._http_socket, grace=_CALL_GRACE_SECONDS)
        await self._web.start()
        self._readiness.phase = Phase.SERVING
        await self._rpc.set_healthy(healthy=not await self._readiness.problems())
        self._health = asyncio.create_task(self._follow_readiness(), name="health")
        if self._settings.address_file is not None:
            self.addresses.write(self._settings.address_file)
        _log.info("serving", grpc=self.addresses.grpc, http=self.addresses.http, management=self.addresses.management)
        return self.addresses

    async def run(self) -> None:
        """`start`, then wait for SIGTERM or SIGINT. A second one ends the process at once, with status 128 + signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        await self.start()
        await self._told_to_stop.wait()

    def stop(self) -> None:
        """Let `run` return, as SIGTERM does."""
        self._told_to_stop.set()

    def _signalled(self, number: signal.Signals) -> None:
        if self._told_to_stop.is_set():
            _log.warning("told to stop again: ending at once", signal=number.name)
            os._exit(128 + number)
        _log.info("told to stop; draining", signal=number.name, seconds=self._settings.stop_seconds)
        self.stop()

    async def _follow_readiness(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_SECONDS)
            await self._rpc.set_healthy(healthy=not await self._readiness.problems())

    async def _drain(self) -> None:
        self._readiness.phase = Phase.DRAINING
        if self._health is not None:
            self._health.cancel()
            await asyncio.wait([self._health])
        await self._rpc.leave()
        try:
            async with asyncio.timeout(self._settings.stop_seconds):
                for drain in self._drains:
                    await _quietly(drain)
        except TimeoutError:
            _log.warning("draining took too long; stopping without it", seconds=self._settings.stop_seconds)


async def _quietly(callback: Callable[[], Awaitable[None]]) -> None:
    try:
        await callback()
    except Exception:  # noqa: BLE001 - the others still have to be stopped
        _log.exception("a callback failed while the service was stopping")


def launch(settings_type: type[S], serve: Callable[[S], Coroutine[Any, Any, None]]) -> None:
    """A service's whole `main`: read the settings, set up logging, run `serve(settings)`, on uvloop where there is one.

    What an operator can put right (a setting, a taken port, a database that is away) ends the process with status 1 and
    one line that says it; anything else with its traceback.
    """
    setup_logging()
    try:
        settings = settings_type.load()
        setup_logging(settings.log_format, settings.log_level)
        _run(serve(settings))
    except (WakepointError, OSError) as error:
        _log.error("cannot go on", error=str(error))
        sys.exit(1)


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop  # noqa: PLC0415 - it does not exist for every interpreter
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
