"""The lines of docs/triggers.md on changing workflows and on the past do what the page says, run by the real tools."""

import json
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from tests.integration.trigger.harness import configs, event, graph
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import running
from tests.integration.trigger.test_docs import answers, run
from tests.integration.trigger.test_docs_options import blocks
from wakepoint.trigger.v1 import trigger_service_pb2 as calls


def verdicts(answer: Any, listed: str = "decisions") -> list[str]:
    return [decision["verdict"] for decision in answer[listed]]


async def test_every_line_about_changes_and_the_past_runs_and_does_what_it_says(
    tmp_path: Path, trigger_dsn: str, peer: Peer
) -> None:
    async with running(tmp_path, trigger_dsn, peer.address) as service:
        addresses = json.loads((tmp_path / "addresses.json").read_text())
        created = await service.stub.CreateWorkflow(
            calls.CreateWorkflowRequest(
                experiment_id="lens",
                name="w",
                graph=graph(),
                trigger_configs=configs(TRAIN={"condition": "job.attempt > 1"}),
            )
        )

        async def do(block: str) -> list[Any]:
            there = block.replace("127.0.0.1:50051", addresses["grpc"]).replace("127.0.0.1:8081", addresses["http"])
            return answers(await run(there, created.workflow.workflow_id))

        report = calls.ReportJobEventRequest(
            event=event(experiment_id="lens", event_id="seen-1", job_id="j1", job_type="EVAL")
        )
        assert not (await service.stub.ReportJobEvent(report)).firings

        change, switch = blocks("Changing a workflow")
        renamed, changed = await do(change)
        assert (renamed["name"], renamed["adopt_newest"]) == ("evaluate", True)
        assert renamed["concurrency"] == {"key": "eval-${input.job.job_name}", "on_conflict": "ON_CONFLICT_QUEUE"}
        assert changed["graph"]["nodes"][0]["properties"] == {"value": "evaluated"}
        on, off = await do(switch)
        states = [[c.get("is_enabled", False) for c in one["workflows"][0]["trigger_configs"]] for one in (on, off)]
        assert states == [[True, False, False, False, True, False], [True] + [False] * 5]

        [explain] = blocks("Why it fired, and why not")
        by_http, by_grpc, of_workflow, again, dry = await do(explain)
        for answer in (by_http, by_grpc, of_workflow, again, dry):
            assert verdicts(answer) == ["TRIGGER_DISABLED"]

        [backtest] = blocks("What other triggers would have done")
        tried, by_http, by_grpc = await do(backtest)
        assert verdicts(tried, "would_fire") == verdicts(tried, "newly") == ["MATCHED"]
        assert [kind["trigger_type"] for kind in by_http["types"]][4] == "EVAL"
        assert by_http["types"][4]["events"] == by_grpc["types"][4]["events"] == "1"

        [replay] = blocks("Past events once more")
        assert [answer.get("firings", []) for answer in await do(replay)] == [[], []]
        await service.stub.UpdateTriggerConfigs(
            calls.UpdateTriggerConfigsRequest(workflow_id=created.workflow.workflow_id, configs=configs(EVAL={}))
        )
        planned, fired = await do(replay.replace("again-1", "again-2"))
        assert [len(answer["firings"]) for answer in (planned, fired)] == [1, 1]
        kept = await service.stub.ListFirings(calls.ListFiringsRequest(workflow_id=created.workflow.workflow_id))
        assert [MessageToDict(firing)["eventId"] for firing in kept.firings] == ["seen-1"]
