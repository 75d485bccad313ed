"""A network between a client and Postgres that a test can break at the worst moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit, urlunsplit


class Proxy:
    """Passes bytes both ways until told otherwise. `dsn` leads through it to the database that it stands before."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._host = parse_qs(self._target.query).get("host", [self._target.hostname or "127.0.0.1"])[0]
        self._port = self._target.port or 5432
        self._drop: bytes | None = None
        self._lose: bytes | None = None
        self._moving = asyncio.Event()
        self._moving.set()
        self._open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self.dsn = ""
        self.connections = 0

    def drop_request(self, containing: bytes) -> None:
        """The next request with these bytes never reaches the server: its connection is cut instead."""
        self._drop = containing

    def lose_answer(self, containing: bytes) -> None:
        """The server gets the next request with these bytes, and the connection is cut in place of its answer."""
        self._lose = containing

    def freeze(self) -> None:
        """From now on bytes go nowhere, and nobody is told: a cut cable."""
        self._moving.clear()

    def cut(self) -> None:
        """End all connections and refuse new ones, until `mend`."""
        self._open = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Undo `freeze` and `cut`; what was frozen is lost."""
        for writer in self._writers:
            writer.transport.abort()
        self._open = True
        self._moving.set()

    def listening_on(self, port: int) -> None:
        """Called once, with the port that was free."""
        user, separator, _ = self._target.netloc.rpartition("@")
        self.dsn = urlunsplit(("postgresql", f"{user}{separator}127.0.0.1:{port}", self._target.path, "", ""))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        if not self._open:
            writer.transport.abort()
            return
        self.connections += 1
        server_reader, server_writer = await self._dial()
        pair = {writer, server_writer}
        self._writers |= pair
        lossy = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, server_writer, lossy, pair))
                group.create_task(self._answers(server_reader, writer, lossy, pair))
        finally:
            self._writers -= pair

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, self._port)

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lossy: asyncio.Event,
        pair: set[asyncio.StreamWriter],
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._moving.wait()
                if self._drop is not None and self._drop in data:
                    self._drop = None
                    break
                if self._lose is not None and self._lose in data:
                    self._lose = None
                    lossy.set()
                writer.write(data)
                await writer.drain()
        _end(pair)

    async def _answers(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lossy: asyncio.Event,
        pair: set[asyncio.StreamWriter],
    ) -> None:
        with suppress(ConnectionError):
            while (data := await reader.read(65536)) and not lossy.is_set():
                await self._moving.wait()
                writer.write(data)
                await writer.drain()
        _end(pair)


def _end(pair: set[asyncio.StreamWriter]) -> None:
    for writer in pair:
        writer.transport.abort()


@asynccontextmanager
async def proxied(target: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the database that the DSN `target` leads to, for the length of the block."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.listening_on(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        proxy.mend()
        await server.wait_closed()
