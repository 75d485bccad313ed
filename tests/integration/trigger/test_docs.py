"""The lines of docs/triggers.md do what the page says, run by the real tools."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import running
from tests.support.conditions import eventually

PAGE = Path(__file__).parents[3] / "docs" / "triggers.md"


def blocks() -> list[str]:
    # What stands behind this heading is run by test_docs_options.py and test_docs_jobs.py.
    text, _, _ = PAGE.read_text().partition("## Waiting, folding and limiting")
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def answers(text: str) -> list[Any]:
    """Several JSON values, one after another."""
    found, place, decoder = [], 0, json.JSONDecoder()
    while place < len(text.rstrip()):
        value, place = decoder.raw_decode(text, place + len(text[place:]) - len(text[place:].lstrip()))
        found.append(value)
    return found


async def run(script: str, workflow_id: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euc",
        script,
        env={**os.environ, "PATH": path, "WORKFLOW": workflow_id},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return out.decode()


async def test_every_line_of_the_page_on_triggers_runs_and_answers_what_it_says(
    tmp_path: Path, trigger_dsn: str, peer: Peer
) -> None:
    async with running(tmp_path, trigger_dsn, peer.address) as service:
        addresses = json.loads((tmp_path / "addresses.json").read_text())

        async def do(block: str, workflow_id: str = "") -> str:
            there = block.replace("127.0.0.1:50051", addresses["grpc"]).replace("127.0.0.1:8081", addresses["http"])
            return await run(there, workflow_id)

        create, blueprints, report, dry_run, change, firings, delete, delete_over_rest = blocks()
        workflow_id = json.loads(await do(create))["workflow"]["workflow_id"]
        assert json.loads(await do(create))["workflow"]["workflow_id"] == workflow_id
        assert (await do(blueprints)).count("On Training Completed") == 2
        accepted, repeated = answers(await do(report))
        assert (accepted["disposition"], len(accepted["firings"])) == ("REPORT_DISPOSITION_ACCEPTED", 1)
        assert (repeated["disposition"], repeated["event_id"]) == ("REPORT_DISPOSITION_DUPLICATE", accepted["event_id"])
        for answer in answers(await do(dry_run)):
            assert [decision["verdict"] for decision in answer["decisions"]] == ["CONDITION_FALSE"]
        assert (await do(change, workflow_id)).count(workflow_id) == 3
        before, _, after = answers(await do(firings, workflow_id))
        assert [len(answer["firings"]) for answer in (before, after)] == [1, 2]
        await eventually(lambda: len(peer.runs) == 2)
        assert json.loads(await do(delete, workflow_id))["workflow_id"] == workflow_id
        other_id = json.loads(await do(create.replace("create-1", "create-2")))["workflow"]["workflow_id"]
        assert json.loads(await do(delete_over_rest, other_id))["workflow_id"] == other_id
        assert service.process.returncode is None
