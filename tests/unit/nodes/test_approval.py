"""Approval: who may answer, what counts as an answer, and how people are told that one is wanted."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runner_service.nodes import Approval
from runner_service.nodes.decisions import NoDecision, read_decision
from tests.support.node_host import NodeLife, Suspended
from tests.support.web import WebServer
from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import NodeError


async def answer(clock: ManualClock, *payloads: Any, **properties: Any) -> tuple[Any, NodeLife]:
    life = NodeLife(clock, lambda: Approval(**properties))
    for number, payload in enumerate(payloads):
        life.host.deliver(f"e{number}", payload)
    (output,) = await life.complete()
    return output, life


@pytest.mark.parametrize(
    ("payload", "output"),
    [
        ({"approved": True}, "approved"),
        ({"approved": False}, "rejected"),
        ({"decision": "approve"}, "approved"),
        ({"decision": "reject", "approved": False}, "rejected"),
    ],
)
async def test_an_answer_goes_out_at_its_output_only(
    manual_clock: ManualClock, payload: dict[str, Any], output: str
) -> None:
    value, _ = await answer(manual_clock, payload)
    assert list(value) == [output]
    assert value[output]["event_id"] == "e0"


async def test_the_output_says_who_answered_what_and_why(manual_clock: ManualClock) -> None:
    payload = {"decision": "approve", "approver": " ada ", "comment": "fine", "event_id": "form"}
    value, _ = await answer(manual_clock, payload, approvers=["ada", "grace"])
    assert value["approved"]["payload"] == {
        "approved": True,
        "decision": "approve",
        "approver": "ada",
        "comment": "fine",
    }


async def test_answers_of_others_and_no_answers_change_nothing_and_are_told(manual_clock: ManualClock) -> None:
    value, life = await answer(
        manual_clock,
        {"approved": True, "approver": "mallory"},
        {"approved": True},
        "yes",
        {"approved": False, "approver": "ada"},
        approvers=["ada"],
    )
    assert list(value) == ["rejected"]
    told = life.host.recorded("SuspensionUpdated")
    assert [line["disregarded_event"]["event_id"] for line in told] == ["e0", "e1", "e2"]
    assert told[0]["reason"] == "'mallory' is not among the approvers"
    assert told[1]["reason"] == "an unnamed approver is not among the approvers"


async def test_an_answer_that_changes_nothing_is_used_up_by_a_suspension(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, Approval)
    life.host.deliver("e0", {"approved": "yes"})
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == "An event was disregarded: approved must be true or false"
    assert outcome.state == {"webhook_id": "hook-1", "approvers": []}


async def test_a_suspended_approval_never_holds_its_url(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, Approval)
    passage = asyncio.create_task(life.passage())
    await manual_clock.advance(300)
    outcome = await passage
    assert isinstance(outcome, Suspended)
    assert "runner.test" not in repr(outcome)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (None, "an approval takes an object"),
        ([True], "an approval takes an object"),
        ({}, "is missing"),
        ({"approved": 1}, "approved must be true or false"),
        ({"approved": "true"}, "approved must be true or false"),
        ({"decision": "maybe"}, "decision must be approve or reject"),
        ({"decision": ["approve"]}, "decision must be approve or reject"),
        ({"approved": True, "decision": "reject"}, "contradict"),
        ({"approved": True, "approver": 7}, "approver must be text"),
        ({"approved": True, "comment": "x" * 4001}, "comment must have at most 4000 characters"),
    ],
)
def test_what_is_no_decision_is_told_apart(payload: Any, message: str) -> None:
    with pytest.raises(NoDecision, match=message) as caught:
        read_decision(payload, [])
    assert not caught.value.refused


def test_a_decision_of_somebody_else_is_refused() -> None:
    with pytest.raises(NoDecision) as caught:
        read_decision({"approved": True, "approver": "mallory"}, ["ada"])
    assert caught.value.refused


class Notified:
    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, Any], str]] = []
        self.status = 200

    async def receive(self, request: Request) -> Response:
        self.requests.append((await request.json(), request.headers["idempotency-key"]))
        return Response(status_code=self.status)


@pytest.fixture
def notified() -> Notified:
    return Notified()


@pytest.fixture
async def url(notified: Notified) -> AsyncIterator[str]:
    async with WebServer(Starlette(routes=[Route("/told", notified.receive, methods=["POST"])])) as server:
        yield f"{server.url}/told"


async def test_people_are_told_when_the_wait_begins_and_not_when_it_resumes(
    manual_clock: ManualClock, notified: Notified, url: str
) -> None:
    life = NodeLife(manual_clock, lambda: Approval(notify_url=url, approvers=["ada"], inactivity_timeout_seconds=0))
    assert isinstance(await life.passage(), Suspended)
    life.host.deliver("e0", {"approved": True, "approver": "ada"})
    await life.complete()
    ((body, key),) = notified.requests
    assert key == "run-1:node:1"
    assert body["webhook_url"] == "http://runner.test/hooks/token"
    assert body["approvers"] == ["ada"]
    assert (body["run_id"], body["workflow_id"], body["node_id"]) == ("run-1", "workflow-1", "node")
    assert "http://runner.test/hooks/token" in body["text"]


async def test_nobody_waits_silently_when_people_cannot_be_told(
    manual_clock: ManualClock, notified: Notified, url: str
) -> None:
    notified.status = 500
    with pytest.raises(NodeError, match="notify_url answered 500") as caught:
        await NodeLife(manual_clock, lambda: Approval(notify_url=url)).passage()
    assert caught.value.retryable
    with pytest.raises(NodeError, match="notify_url could not be reached: ConnectError"):
        await NodeLife(manual_clock, lambda: Approval(notify_url="http://127.0.0.1:1/")).passage()
