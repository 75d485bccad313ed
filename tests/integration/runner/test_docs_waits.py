"""The lines of docs/nodes.md about waits and about runs that exclude each other do what the page says."""

import re
from pathlib import Path
from typing import Any

from tests.integration.runner.test_docs_topics import PAGE, run, runner_service
from tests.support.conditions import eventually

TITLES = ("Waits that nobody answers", "Runs that exclude each other")


def lines() -> list[str]:
    page = PAGE.read_text()
    sections = [page.partition(f"## {title}\n")[2].partition("\n## ")[0] for title in TITLES]
    blocks = [block for text in sections for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]
    return [line for block in blocks for line in block.split("\n") if line]


async def test_every_line_of_the_page_on_waits_runs_and_does_what_it_says(tmp_path: Path, runner_dsn: str) -> None:
    update, inbox, again, start = lines()
    call = "grpcurl -plaintext -d '%s' 127.0.0.1:50052 wakepoint.runner.v1.RunnerService/%s"
    async with runner_service(tmp_path, runner_dsn) as address:
        properties = '{"inactivity_timeout_seconds": 0, "max_events": 0}'
        graph = f'{{"nodes": [{{"id": "m", "type": "Manual", "properties": {properties}}}]}}'
        request = f'{{"workflow_id": "w1", "experiment_id": "e1", "graph": {graph}}}'
        run_id = (await run(call % (request, "StartRun"), address))["run"]["run_id"]
        here = f"RUN={run_id}; "

        async def suspended() -> Any:
            found = await run(call % (f'{{"run_id": "{run_id}"}}', "GetRun"), address)
            return found["state"] == "RUN_STATE_SUSPENDED"

        await eventually(suspended)
        assert (await run(here + update, address))["state"] == {"note": "ask ada"}
        wake = f'{{"run_id": "{run_id}", "node_id": "m", "event": {{"event_id": "e1"}}}}'
        await run(call % (wake, "WakeUp"), address)

        async def consumed() -> Any:
            events = (await run(here + inbox, address))["events"]
            return events[0]["state"] == "TRIGGER_EVENT_STATE_CONSUMED"

        await eventually(consumed)
        (event,) = (await run(here + again, address))["events"]
        assert event["event"]["extensions"] == {"redelivers": "e1"}
        assert (await run(start, address))["disposition"] == "START_RUN_DISPOSITION_CREATED"
        assert (await run(start, address))["disposition"] == "START_RUN_DISPOSITION_QUEUED_BEHIND"
