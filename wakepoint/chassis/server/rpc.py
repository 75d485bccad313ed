"""The gRPC server, with health and reflection."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from wakepoint.chassis.interceptors import ServerInterceptor
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.server.addresses import join_address
from wakepoint.chassis.settings import ServiceSettings, split_address

_CONNECTION_AGE_MS = 300_000  # clients with one long connection find new replicas when theirs ends
_CONNECTION_GRACE_MS = 60_000  # what runs on a connection that is too old may end; streams are resumed by their clients
_KEEPALIVE_MS = 60_000
_KEEPALIVE_TIMEOUT_MS = 20_000
_LEAST_PING_INTERVAL_MS = 10_000  # clients may ask whether the connection is alive this often

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class RpcServer:
    """A grpc.aio server and the health of the services on it. Made inside a running event loop."""

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self._settings = settings
        self.interceptors = [ServerInterceptor(metrics)]
        self._server = grpc.aio.server(interceptors=self.interceptors, options=_options(settings))
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined] # the stubs lack it
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names: list[str] = []
        self._healthy: bool | None = None

    def add(self, name: str, register: Callable[[grpc.aio.Server], None]) -> None:
        """Register the service with the full name `name`; before `start`."""
        register(self._server)
        self._names.append(name)

    def bind(self) -> str:
        """Take the port; the address that it became. Raises OSError when it is taken."""
        host, _ = split_address(self._settings.grpc_address)
        try:
            port = self._server.add_insecure_port(self._settings.grpc_address)
        except RuntimeError as error:
            text = f"cannot listen on {self._settings.grpc_address}: it is in use, or not an address of this machine"
            raise OSError(errno.EADDRINUSE, text) from error
        return join_address(host, port)

    async def start(self) -> None:
        """Answer calls; health says NOT_SERVING until told otherwise."""
        names = (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        await self.set_healthy(healthy=False)
        await self._server.start()

    async def set_healthy(self, *, healthy: bool) -> None:
        """What the health service answers, for the server as a whole ("") and for each service on it."""
        if healthy is not self._healthy:
            self._healthy = healthy
            for name in self._all_names():
                await self._health.set(name, _SERVING if healthy else _NOT_SERVING)

    async def leave(self) -> None:
        """Health says NOT_SERVING from here on, whatever is set later."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Refuse new calls at once, cancel those that still run after `grace` seconds."""
        await self._server.stop(grace)

    def _all_names(self) -> Iterable[str]:
        return ("", *self._names)


def _options(settings: ServiceSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", _CONNECTION_GRACE_MS),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _LEAST_PING_INTERVAL_MS),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # On by default on Linux, where a second process on a taken port would silently get half of the calls.
        ("grpc.so_reuseport", int(settings.reuse_port)),
    ]
