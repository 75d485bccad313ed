"""A runner replica as a process of its own, which a test can kill; also the program that this process runs.

The program reads a line of JSON for each thing to do (`{"start": graph, "request_id": …}`, `{"wake": run_id, "node":
…, "event_id": …}`) and answers with one.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from runner_service.nodes.registry import NodeRegistry
from tests.support.runner import Runner, runner_on
from wakepoint.chassis.database import Database

ROOT = Path(__file__).parents[2]


class RunnerProcess:
    """A running program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ask(self, **command: Any) -> dict[str, Any] | None:
        """What it answers; None if it dies over it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            await self.process.stdin.drain()
        except ConnectionError:
            return None
        answer = await self.process.stdout.readline()
        return dict(json.loads(answer)) if answer else None

    async def died(self) -> int:
        """Its exit status; the negative number of the signal that killed it."""
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def runner_process(
    dsn: str, folder: Path, nodes: Path, failpoint: str = "", **options: Any
) -> AsyncIterator[RunnerProcess]:
    """A replica that has entered its lease; killed at the end if it still lives. `options` are settings."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.runner_process", dsn, str(folder), str(nodes), json.dumps(options),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "WAKEPOINT_FAILPOINT": failpoint},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"ready\n"
        yield RunnerProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _serve(dsn: str, folder: Path, nodes: Path, options: dict[str, Any]) -> None:
    user_nodes = [t for t in NodeRegistry.load([nodes])._classes.values() if t.__module__.startswith("wakepoint_user")]
    database = await Database.open(dsn, application_name="runner-process")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is logged must not look like an answer
    async with runner_on(database, dsn, folder, nodes=user_nodes, **options) as runner:
        print("ready", file=answers, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await _do(runner, json.loads(line))), file=answers, flush=True)


async def _do(runner: Runner, command: dict[str, Any]) -> dict[str, Any]:
    if "start" in command:
        return {"run_id": await runner.start(command["start"], request_id=command["request_id"])}
    result = await runner.wake(command["wake"], command["node"], event_id=command["event_id"])
    return {"disposition": result.disposition}


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])))
