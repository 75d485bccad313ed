"""HTTP in the service's own event loop: an ASGI application on a socket, and the management application."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from wakepoint.chassis.metrics import CONTENT_TYPE, Metrics
from wakepoint.chassis.server.readiness import Readiness

_KEEPALIVE_SECONDS = 65  # longer than the 60 s after which most proxies close an idle connection


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the host decides when the process ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """One ASGI application on one bound socket."""

    def __init__(self, app: Any, listening: socket.socket, grace: float) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_keep_alive=_KEEPALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(grace)),
            server_header=False,
            ws="none",
        )
        self._server = _Server(config)
        self._listening = listening
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when it answers requests. Raises what kept it from starting."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listening]), name="http")
        while not self._server.started:
            await asyncio.sleep(0)
            if self._task.done():
                self._task.result()
                raise RuntimeError("the HTTP application failed to start")

    async def stop(self) -> None:
        """Refuse new connections, let requests end within the grace time, then cancel them."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task


def management_app(readiness: Readiness, metrics: Metrics) -> Starlette:
    """`/livez`: the event loop answers. `/readyz`: 503 with the reasons while not ready. `/metrics`: for Prometheus."""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        problems = await readiness.problems()
        return JSONResponse({"ready": not problems, "problems": problems}, status_code=503 if problems else 200)

    async def scrape(_: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", scrape)])
