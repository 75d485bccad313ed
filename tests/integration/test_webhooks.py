"""Webhooks and approvals on real runs: what is posted reaches the node once, over suspensions, until the run ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner_service.app import _http_app
from runner_service.domain.history import EventType
from runner_service.domain.projection import RunState
from runner_service.domain.webhooks import WebhookTarget, WebhookTokens
from tests.support.conditions import eventually
from tests.support.runner import Runner, chain, edge, node, runner_on
from tests.support.web import WebServer
from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.ids import new_id

TOKENS = WebhookTokens([b"k" * 32])


class Hooks:
    """A client of the runner's HTTP face."""

    def __init__(self, runner: Runner, client: httpx.AsyncClient) -> None:
        self.runner = runner
        self.client = client

    async def post(self, run_id: str, node_id: str, body: Any, **headers: str) -> httpx.Response:
        token = TOKENS.derive(WebhookTarget(run_id, node_id))
        return await self.client.post(f"/hooks/{token}", json=body, headers=headers)


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        yield running


@pytest.fixture
async def hooks(runner: Runner) -> AsyncIterator[Hooks]:
    app = _http_app(runner.database, runner.hub, runner.registry, TOKENS, SystemClock())
    async with WebServer(app) as server, httpx.AsyncClient(base_url=server.url) as client:
        yield Hooks(runner, client)


def approval(**properties: Any) -> dict[str, Any]:
    """Ask, then give out what was answered."""
    return {
        "nodes": [
            node("ask", "Approval", inactivity_timeout_seconds=0, **properties),
            node("yes", "Output"),
            node("no", "Output"),
        ],
        "edges": [edge("ask", "yes", source_output="approved"), edge("ask", "no", source_output="rejected")],
    }


async def test_an_approval_by_http_wakes_the_suspended_run(runner: Runner, hooks: Hooks) -> None:
    run_id = await runner.start(approval(approvers=["ada"]))
    await runner.until(run_id, RunState.SUSPENDED)
    answer = await hooks.post(run_id, "ask", {"decision": "approve", "approver": "ada", "comment": "go"})
    assert (answer.status_code, answer.json()["disposition"]) == (202, "DELIVERED")
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert run.outputs.keys() == {"yes"}
    assert run.outputs["yes"]["payload"]["comment"] == "go"
    assert run.outputs["yes"]["event_id"] == answer.json()["event_id"]
    assert await runner.count(run_id, EventType.NODE_SKIPPED, "no") == 1


async def test_a_person_rejects_with_the_page_of_the_approval(runner: Runner, hooks: Hooks) -> None:
    run_id = await runner.start(approval())
    path = f"/hooks/{TOKENS.derive(WebhookTarget(run_id, 'ask'))}"
    page = await hooks.client.get(path, headers={"Accept": "text/html"})
    assert (page.status_code, run_id in page.text) == (200, True)
    answer = await hooks.client.post(
        path, data={"decision": "reject", "approver": "ada"}, headers={"Accept": "text/html"}
    )
    assert answer.status_code == 202
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert run.outputs.keys() == {"no"}
    late = await hooks.client.get(path, headers={"Accept": "text/html"})
    assert late.status_code == 410


async def test_one_delivery_sent_many_times_at_once_counts_once(runner: Runner, hooks: Hooks) -> None:
    run_id = await runner.start(approval())
    answers = await asyncio.gather(
        *(hooks.post(run_id, "ask", {"approved": True}, **{"Idempotency-Key": "one"}) for _ in range(16))
    )
    assert {answer.status_code for answer in answers} == {202}
    dispositions = [answer.json()["disposition"] for answer in answers]
    assert dispositions.count("DUPLICATE") == 15
    await runner.until(run_id, RunState.COMPLETED)
    again = await hooks.post(run_id, "ask", {"approved": True}, **{"Idempotency-Key": "one"})
    assert (again.status_code, again.json()["disposition"]) == (202, "DUPLICATE")


async def test_what_comes_after_the_end_is_gone(runner: Runner, hooks: Hooks) -> None:
    run_id = await runner.start(approval())
    await hooks.post(run_id, "ask", {"approved": True})
    await runner.until(run_id, RunState.COMPLETED)
    answer = await hooks.post(run_id, "ask", {"approved": False})
    assert (answer.status_code, answer.json()["disposition"]) == (410, "FINISHED")


async def test_a_genuine_token_of_a_run_or_node_that_is_not_there_is_not_found(runner: Runner, hooks: Hooks) -> None:
    run_id = await runner.start(approval())
    for target in ((new_id(), "ask"), (run_id, "nobody"), ("no id", "ask")):
        assert (await hooks.post(*target, {"approved": True})).status_code == 404


async def test_who_may_answer_can_be_computed_and_others_are_told_in_the_log(runner: Runner, hooks: Hooks) -> None:
    run_id = await runner.start(approval(approvers="${input.people}"), {"people": ["ada"]})
    await runner.until(run_id, RunState.SUSPENDED)
    assert (await hooks.post(run_id, "ask", {"approved": True, "approver": "mallory"})).status_code == 202
    await eventually(lambda: runner.count(run_id, EventType.SUSPENSION_UPDATED, "ask"))
    await runner.until(run_id, RunState.SUSPENDED)
    await hooks.post(run_id, "ask", {"approved": False, "approver": "ada"})
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert run.outputs["no"]["payload"]["approver"] == "ada"
    (line,) = [line for line in await runner.log(run_id) if line.event_type is EventType.SUSPENSION_UPDATED]
    assert line.payload["reason"] == "'mallory' is not among the approvers"


async def test_deliveries_that_came_together_are_one_batch(runner: Runner, hooks: Hooks) -> None:
    hook = node("hook", "Webhook", batch_size=10, max_events=3)
    run_id = await runner.start(chain(node("later", "Delay", seconds=0.3), hook, node("o", "Output")))
    for number in range(3):
        answer = await hooks.post(run_id, "hook", {"n": number})
        assert answer.json()["disposition"] == "BUFFERED"
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert [event["payload"]["n"] for event in run.outputs["o"]] == [0, 1, 2]


async def test_a_batch_takes_no_more_events_than_the_trigger_wants(runner: Runner, hooks: Hooks) -> None:
    hook = node("hook", "Webhook", batch_size=10, max_events=2)
    run_id = await runner.start(chain(node("later", "Delay", seconds=0.3), hook, node("o", "Output")))
    for number in range(3):
        await hooks.post(run_id, "hook", {"n": number})
    run = await runner.until(run_id, RunState.COMPLETED)
    assert run.outputs is not None
    assert [event["payload"]["n"] for event in run.outputs["o"]] == [0, 1]
    assert await runner.count(run_id, EventType.TRIGGER_EVENT_DEAD_LETTERED, "hook") == 1


async def test_a_body_whose_event_is_too_large_is_told_so(runner: Runner, hooks: Hooks) -> None:
    run_id = await runner.start(chain(node("hook", "Webhook"), node("o", "Output")))
    answer = await hooks.post(run_id, "hook", "x" * (2**20 - 100))
    assert (answer.status_code, answer.json()["disposition"]) == (413, "TOO_LARGE")


async def test_a_workflows_own_address_wakes_its_one_unfinished_run(hooks: Hooks) -> None:
    runner, graph = hooks.runner, chain(node("in", "Webhook", scope="workflow"), node("o", "Output"))
    token = TOKENS.derive(WebhookTarget.of("", "w1", "e1", "in", "workflow"))
    assert (await hooks.client.post(f"/hooks/{token}", json={})).status_code == 404
    for number in (1, 2):
        run_id = await runner.start(graph)
        answer = await hooks.client.post(f"/hooks/{token}", json={"number": number})
        assert answer.status_code == 202
        run = await runner.until(run_id, RunState.COMPLETED)
        assert run.outputs is not None
        assert run.outputs["o"]["payload"] == {"number": number}


async def test_a_workflows_own_address_chooses_between_no_two_runs(hooks: Hooks) -> None:
    runner, graph = hooks.runner, chain(node("in", "Webhook", scope="workflow"), node("o", "Output"))
    for _ in range(2):
        await runner.start(graph)
    token = TOKENS.derive(WebhookTarget.of("", "w1", "e1", "in", "workflow"))
    assert (await hooks.client.post(f"/hooks/{token}", json={})).status_code == 409
