"""runner_service as an operator runs it: a process of its own, which a test can kill."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.conditions import eventually


@asynccontextmanager
async def running(
    folder: Path, dsn: str, *, trigger: str = "127.0.0.1:1", **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that serves, or that a failpoint has killed already; killed at the end if it still lives."""
    address_file = folder / "addresses.json"
    address_file.unlink(missing_ok=True)
    settings = {
        "RUNNER_DATABASE_URL": dsn,
        "RUNNER_GRPC_ADDRESS": "127.0.0.1:0",
        "RUNNER_HTTP_ADDRESS": "127.0.0.1:0",
        "RUNNER_MANAGEMENT_ADDRESS": "127.0.0.1:0",
        "RUNNER_ADDRESS_FILE": str(address_file),
        "RUNNER_TRIGGER_ADDRESS": trigger,
        "RUNNER_HOST": "test-host",
        "RUNNER_JOBS_DIR": str(folder / "jobs"),
        "RUNNER_WEBHOOK_KEY": "0123456789abcdef0123456789abcdef",
        # Short, so that what a killed process held is free again soon.
        "RUNNER_LEASE_SECONDS": "3",
        "RUNNER_HEARTBEAT_SECONDS": "0.5",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runner_service", env={**os.environ, **settings, **environment}
    )
    try:
        await eventually(lambda: address_file.exists() or process.returncode is not None, timeout=30)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def killed(process: asyncio.subprocess.Process) -> None:
    """Wait until a failpoint has killed the process."""
    async with asyncio.timeout(30):
        assert await process.wait() == -9
