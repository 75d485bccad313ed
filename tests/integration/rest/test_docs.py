"""The lines of docs/rest.md do what the page says, run by a shell with the real curl."""

import asyncio
import json
import re
from pathlib import Path

from tests.integration.rest.sides import RunnerSides, TriggerSides

PAGE = Path(__file__).parents[3] / "docs" / "rest.md"


async def run(script: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-euc", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return out.decode()


async def test_every_line_of_the_page_on_rest_answers_what_it_says(trigger: TriggerSides, runner: RunnerSides) -> None:
    places = {
        "http://127.0.0.1:8081": str(trigger.http.base_url).rstrip("/"),
        "http://127.0.0.1:8082": str(runner.http.base_url).rstrip("/"),
    }

    async def do(block: str, run_id: str = "") -> str:
        for documented, real in places.items():
            block = block.replace(documented, real)
        return await run(f"RUN={run_id}\n{block}")

    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    create, look, fault, start, follow, job_event, node_event = blocks
    workflow_id = json.loads(await do(create))["workflow"]["workflow_id"]
    assert (await do(look)).count(workflow_id) == 3
    refused = json.loads(await do(fault))
    told = [item["field"] for item in refused["details"][1]["field_violations"]]
    assert (refused["code"], told) == (3, ["event.job_id", "event.colour"])
    run_id = json.loads(re.split(r"(?<=})(?={)", await do(start))[0])["run"]["run_id"]
    woken, cancelled, *lines = re.split(r"(?<=})\n?(?={)|\n+", await do(follow, run_id))
    assert json.loads(woken)["success"]
    assert json.loads(cancelled)["state"] == "RUN_STATE_CANCELLED"
    assert [json.loads(line)["seq"] for line in lines if line.startswith("{")][:2] == ["1", "2"]
    assert next(line for line in lines if line.startswith("id:")) == "id: 3"
    assert "event: end" in lines
    assert json.loads(await do(job_event))["firings"][0]["workflow_id"] == workflow_id
    assert json.loads(await do(node_event))["disposition"] == "WAKE_UP_DISPOSITION_NO_SUCH_RUN"


def test_every_path_that_frontends_know_is_on_the_page() -> None:
    page = PAGE.read_text()
    for path in (
        "GET /workflows/trigger_blueprints",
        "GET /workflows/{workflow_id}",
        "PUT /workflows/{workflow_id}/trigger_configs",
    ):
        assert path in page
