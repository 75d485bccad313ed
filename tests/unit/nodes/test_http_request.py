"""HttpRequest, against a real server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner_service.nodes import HttpRequest
from tests.support.node_host import NodeLife
from tests.support.web import WebServer
from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import NodeError


async def echo(request: Request) -> Response:
    body = (await request.body()).decode()
    return JSONResponse({"method": request.method, "headers": dict(request.headers), "body": body})


async def answer_with(request: Request) -> Response:
    return Response("told why", status_code=int(request.path_params["status"]), headers={"location": "/echo"})


async def raw(request: Request) -> Response:
    size = int(request.path_params["size"])
    return Response(b"x" * size, media_type=request.query_params.get("type", "text/plain"))


@pytest.fixture
async def url() -> AsyncIterator[str]:
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    routes = [
        Route("/echo", echo, methods=methods),
        Route("/status/{status}", answer_with),
        Route("/raw/{size}", raw),
    ]
    async with WebServer(Starlette(routes=routes)) as server:
        yield server.url


async def send(clock: ManualClock, url: str, **properties: Any) -> Any:
    (output,) = await NodeLife(clock, lambda: HttpRequest(url=url, **properties)).complete()
    return output


async def refused(clock: ManualClock, url: str, **properties: Any) -> NodeError:
    with pytest.raises(NodeError) as error:
        await send(clock, url, **properties)
    return error.value


async def test_a_request_carries_its_body_its_headers_and_the_idempotency_key(
    manual_clock: ManualClock, url: str
) -> None:
    answer = await send(manual_clock, f"{url}/echo", method="POST", body={"n": 1}, headers={"X-Who": "ada"})
    assert answer["status"] == 200
    seen = answer["body"]
    assert (seen["method"], seen["body"]) == ("POST", '{"n": 1}')
    assert seen["headers"]["idempotency-key"] == "run-1:node:1"
    assert seen["headers"]["content-type"] == "application/json"
    assert seen["headers"]["x-who"] == "ada"


async def test_a_text_is_sent_as_it_is_and_nothing_for_null(manual_clock: ManualClock, url: str) -> None:
    sent = await send(manual_clock, f"{url}/echo", method="PUT", body="plain", headers={"idempotency-key": "mine"})
    assert (sent["body"]["body"], sent["body"]["headers"]["idempotency-key"]) == ("plain", "mine")
    assert (await send(manual_clock, f"{url}/echo"))["body"]["body"] == ""


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (429, True), (404, False), (302, True)])
async def test_another_status_than_expected_fails_and_says_what_was_answered(
    manual_clock: ManualClock, url: str, status: int, retryable: bool
) -> None:
    error = await refused(manual_clock, f"{url}/status/{status}")
    assert str(error) == f"GET {url}/status/{status} answered {status}: told why"
    assert error.retryable is retryable


async def test_an_expected_status_is_no_failure_and_then_200_is_one(manual_clock: ManualClock, url: str) -> None:
    answer = await send(manual_clock, f"{url}/status/404", expect_statuses=[404])
    assert (answer["status"], answer["body"]) == (404, "told why")
    assert "answered 200" in str(await refused(manual_clock, f"{url}/echo", expect_statuses=[404]))


async def test_an_answer_that_is_too_large_fails_for_good(manual_clock: ManualClock, url: str) -> None:
    assert len((await send(manual_clock, f"{url}/raw/{2**20}"))["body"]) == 2**20
    error = await refused(manual_clock, f"{url}/raw/{2**20 + 1}")
    assert "more than 1048576 bytes" in str(error)
    assert not error.retryable


async def test_what_says_it_is_json_and_is_not_is_text(manual_clock: ManualClock, url: str) -> None:
    assert (await send(manual_clock, f"{url}/raw/3?type=application/json"))["body"] == "xxx"


async def test_nobody_there_is_tried_again_and_no_address_is_not(manual_clock: ManualClock) -> None:
    assert (await refused(manual_clock, "http://127.0.0.1:9/")).retryable
    for nonsense in ("ftp://host/", "nowhere"):
        assert not (await refused(manual_clock, nonsense)).retryable
