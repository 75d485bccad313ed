"""The lines of docs/nodes.md about topics do what the page says, run by the real tool."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.conditions import eventually

PAGE = Path(__file__).parents[3] / "docs" / "nodes.md"


def blocks() -> list[str]:
    section = PAGE.read_text().partition("## Topics and job events")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@asynccontextmanager
async def runner_service(folder: Path, dsn: str) -> AsyncIterator[str]:
    """A process that serves; its gRPC address."""
    address_file = folder / "addresses.json"
    settings = {
        "RUNNER_DATABASE_URL": dsn,
        "RUNNER_GRPC_ADDRESS": "127.0.0.1:0",
        "RUNNER_HTTP_ADDRESS": "127.0.0.1:0",
        "RUNNER_MANAGEMENT_ADDRESS": "127.0.0.1:0",
        "RUNNER_ADDRESS_FILE": str(address_file),
        "RUNNER_JOBS_DIR": str(folder / "jobs"),
        "RUNNER_DRAIN_SECONDS": "1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runner_service", env={**os.environ, **settings}
    )
    try:
        await eventually(lambda: address_file.exists() or process.returncode is not None, timeout=30)
        yield json.loads(address_file.read_text())["grpc"]
    finally:
        process.kill()
        await process.wait()


async def run(script: str, address: str) -> Any:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euc",
        script.replace("127.0.0.1:50052", address),
        env={**os.environ, "PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return json.loads(out)


async def test_every_line_of_the_page_on_topics_runs_and_does_what_it_says(tmp_path: Path, runner_dsn: str) -> None:
    start, publish = blocks()
    async with runner_service(tmp_path, runner_dsn) as address:
        run_id = (await run(start, address))["run"]["run_id"]
        first = await run(publish, address)
        assert first == await run(publish, address)
        assert [woken["run_id"] for woken in first.get("woken", [])] in ([], [run_id])
        get = f'grpcurl -plaintext -d \'{{"run_id": "{run_id}"}}\' {address} wakepoint.runner.v1.RunnerService/GetRun'

        async def completed() -> Any:
            found = await run(get, address)
            return found["state"] == "RUN_STATE_COMPLETED" and found

        # Whether it listened before or after: the event has a ttl.
        found = await eventually(completed)
        assert found["outputs"]["out"]["payload"] == {"version": 17}
