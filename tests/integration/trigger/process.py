"""trigger_service as an operator runs it: a process of its own, which a test can kill."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from tests.support.conditions import eventually
from wakepoint.trigger.v1.trigger_service_pb2_grpc import TriggerServiceStub


class Service:
    """One running process. `stub` talks to it over a channel of its own."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: dict[str, str]) -> None:
        self.process = process
        self.http = f"http://{addresses['http']}"
        self.management = f"http://{addresses['management']}"
        self._channel = grpc.aio.insecure_channel(addresses["grpc"])
        self.stub = TriggerServiceStub(self._channel)

    async def ended(self) -> int:
        """The status with which it ended; negative: the signal that killed it."""
        async with asyncio.timeout(20):
            return await self.process.wait()

    async def close(self) -> None:
        await self._channel.close(None)
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def running(folder: Path, dsn: str, runner_address: str, **environment: str) -> AsyncIterator[Service]:
    """A process that serves; killed at the end if it still lives."""
    address_file = folder / "addresses.json"
    address_file.unlink(missing_ok=True)
    settings = {
        "TRIGGER_DATABASE_URL": dsn,
        "TRIGGER_GRPC_ADDRESS": "127.0.0.1:0",
        "TRIGGER_HTTP_ADDRESS": "127.0.0.1:0",
        "TRIGGER_MANAGEMENT_ADDRESS": "127.0.0.1:0",
        "TRIGGER_ADDRESS_FILE": str(address_file),
        "TRIGGER_RUNNER_ADDRESS": runner_address,
        # Short, so that what a killed process held is free again soon.
        "TRIGGER_RUNNER_DEADLINE": "1.0",
        "TRIGGER_DISPATCH_LEASE": "1.5",
        "TRIGGER_DISPATCH_POLL": "0.1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trigger_service", env={**os.environ, **settings, **environment}
    )
    try:
        await eventually(lambda: address_file.exists() or process.returncode is not None, timeout=30)
        service = Service(process, json.loads(address_file.read_text()))
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    try:
        yield service
    finally:
        await service.close()
