"""A real HTTP server for a starlette application, on a free port of this machine."""

import asyncio
import socket
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette


class WebServer:
    """Serves from entering to leaving; `url` has no slash at its end."""

    def __init__(self, application: Starlette) -> None:
        config = uvicorn.Config(application, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._task: asyncio.Task[None] | None = None
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def __aenter__(self) -> Self:
        # Connections queue in the socket's backlog, so there is nothing to wait for.
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        assert self._task is not None
        await self._task
        self._socket.close()
