"""The lines of docs/triggers.md on options, pauses and single firings do what the page says, run by the real tools."""

import json
import re
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import running
from tests.integration.trigger.test_docs import PAGE, answers
from tests.integration.trigger.test_docs import run as run_alone
from tests.support.conditions import eventually
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls


def blocks(heading: str) -> list[str]:
    """The commands of one section."""
    _, found, text = PAGE.read_text().partition(f"\n## {heading}\n")
    assert found, heading
    return re.findall(r"```sh\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)


async def test_every_line_about_options_pauses_and_single_firings_runs_and_does_what_it_says(
    tmp_path: Path, trigger_dsn: str, peer: Peer
) -> None:
    async with running(tmp_path, trigger_dsn, peer.address) as service:
        addresses = json.loads((tmp_path / "addresses.json").read_text())

        async def do(block: str, workflow_id: str = "", firing_id: str = "") -> list[Any]:
            there = block.replace("127.0.0.1:50051", addresses["grpc"]).replace("127.0.0.1:8081", addresses["http"])
            return answers(await run_alone(f"FIRING={firing_id}\n{there}", workflow_id))

        [create] = blocks("Waiting, folding and limiting")
        created, *reported = await do(create)
        workflow_id = created["workflow"]["workflow_id"]
        assert [len(report["firings"]) for report in reported] == [1, 1, 1, 1, 0]
        await eventually(lambda: len(peer.runs) == 3, timeout=20)
        jobs = sorted(MessageToDict(request.input)["job"]["job_id"] for request in peer.requests.values())
        assert jobs == ["e1", "g1", "t2"]

        pause, resume = blocks("Pausing")
        assert await do(pause, workflow_id) == [{}, {"will_release": []}]
        assert (await do(resume, workflow_id))[1:] == [{}, {}]

        [by_hand] = blocks("One firing by hand")
        await service.stub.RunWorkflow(calls.RunWorkflowRequest(workflow_id=workflow_id))
        await peer.go_away()
        fired = await service.stub.RunWorkflow(calls.RunWorkflowRequest(workflow_id=workflow_id))

        async def is_queued() -> bool:
            found = await service.stub.ListFirings(calls.ListFiringsRequest(workflow_id=workflow_id))
            return found.firings[0].state == messages.FIRING_STATE_QUEUED

        await eventually(is_queued)
        taken_back = await eventually(lambda: _patiently(do, by_hand, workflow_id, fired.firing_id))
        assert [answer["state"] for answer in taken_back] == [
            "FIRING_STATE_QUEUED",
            "FIRING_STATE_CANCELLED",
            "FIRING_STATE_CANCELLED",
        ]

        [overlap] = blocks("Runs that overlap")
        for changed in await do(overlap, workflow_id):
            assert changed["concurrency"] == {"key": "train-${input.job.job_name}", "on_conflict": "ON_CONFLICT_QUEUE"}

        [show] = blocks("A workflow that the runner refuses")
        assert [answer["workflow_id"] for answer in await do(show, workflow_id)] == [workflow_id] * 2


async def _patiently(do: Any, block: str, workflow_id: str, firing_id: str) -> Any:
    """ABORTED while a dispatcher tries it: then the lines are run again, as the page says."""
    try:
        return await do(block, workflow_id, firing_id)
    except AssertionError as error:
        if "being handed over" not in str(error):
            raise
        return None
