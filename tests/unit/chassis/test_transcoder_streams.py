"""Streams over real HTTP: line by line or as server-sent events, resumed, cut off, failing early and late."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from tests.support.conditions import eventually
from tests.support.web import WebServer
from tests.unit.chassis.transcoding import Things, thing, transcoder, violations
from wakepoint.chassis.clock import Clock, ManualClock
from wakepoint.chassis.errors import NotFound
from wakepoint.chassis.transcoder import Resumable, Special

PATH = "/v1/things/x:watch"
SPECIAL = {"Watch": Special(resumable=Resumable(event_id="count", resume="count"))}
EVENTS = {"accept": "text/event-stream"}


class Source:
    """Counts on from the request's count to `last`; then waits, fails or ends."""

    def __init__(self, last: int = 3, *, error: Exception | None = None, endless: bool = False) -> None:
        self.last, self.error, self.endless = last, error, endless
        self.running = 0
        self.more = asyncio.Event()

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        self.running += 1
        try:
            for number in range(request.count + 1, self.last + 1):
                yield thing(name=request.name, count=number)
            if self.error is not None:
                raise self.error
            if self.endless:
                await self.more.wait()
                yield thing(name="more", count=100)
        finally:
            self.running -= 1


def serving(source: Source, clock: Clock | None = None) -> WebServer:
    return WebServer(transcoder(Things(stream=source.stream), special=SPECIAL, clock=clock))  # type: ignore[arg-type] # any ASGI application


async def get(source: Source, **headers: str) -> httpx.Response:
    async with serving(source) as server, httpx.AsyncClient() as client:
        return await client.get(server.url + PATH, headers={k.replace("_", "-"): v for k, v in headers.items()})


async def test_a_stream_is_a_message_a_line() -> None:
    response = await get(Source())
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["count"] for line in response.text.splitlines()] == ["1", "2", "3"]


async def test_a_browser_gets_events_with_ids_and_an_end() -> None:
    response = await get(Source(2), accept="text/html, text/event-stream;q=0.9")
    assert response.headers["content-type"].startswith("text/event-stream")
    first, second, end = response.text.removesuffix("\n\n").split("\n\n")
    assert first.startswith('id: 1\ndata: {"name":"x"')
    assert second.startswith("id: 2\n")
    assert end == "event: end\ndata: {}"


async def test_a_stream_goes_on_after_the_last_event_that_was_seen() -> None:
    response = await get(Source(), last_event_id="2", accept="text/event-stream")
    assert [line for line in response.text.splitlines() if line.startswith("id")] == ["id: 3"]


async def test_a_browser_that_has_seen_everything_is_told_to_stop() -> None:
    assert (await get(Source(), last_event_id="3", accept="text/event-stream")).status_code == 204
    # Without Last-Event-ID, or line by line, an empty stream is an empty stream.
    assert (await get(Source(0), accept="text/event-stream")).text == "event: end\ndata: {}\n\n"
    empty = await get(Source(), last_event_id="3")
    assert (empty.status_code, empty.text) == (200, "")


async def test_a_last_event_id_of_another_kind_is_refused() -> None:
    [(field, _)] = violations(await get(Source(), last_event_id="x"))
    assert field == "count"


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_an_error_before_the_first_message_is_an_ordinary_one(accept: str) -> None:
    response = await get(Source(0, error=NotFound("no such thing")), accept=accept)
    assert (response.status_code, response.json()["message"]) == (404, "no such thing")


async def test_an_error_later_is_the_last_line() -> None:
    lines = (await get(Source(1, error=NotFound("gone")))).text.splitlines()
    assert json.loads(lines[1])["error"]["code"] == 5
    text = (await get(Source(1, error=NotFound("gone")), accept="text/event-stream")).text
    name, data = text.removesuffix("\n\n").split("\n\n")[1].split("\n")
    assert name == "event: failure"
    assert json.loads(data.removeprefix("data: "))["message"] == "gone"


async def test_what_comes_late_is_sent_when_it_comes() -> None:
    source = Source(1, endless=True)
    async with (
        serving(source) as server,
        httpx.AsyncClient() as client,
        client.stream("GET", server.url + PATH) as answer,
    ):
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines))["count"] == "1"
        source.more.set()
        assert json.loads(await anext(lines))["name"] == "more"
        assert [line async for line in lines] == []


async def test_a_client_that_leaves_ends_the_method() -> None:
    source = Source(1, endless=True)
    async with serving(source) as server, httpx.AsyncClient() as client:
        async with client.stream("GET", server.url + PATH) as answer:
            await anext(answer.aiter_lines())
            assert source.running == 1
        await eventually(lambda: source.running == 0)


async def test_silence_is_filled_so_that_proxies_keep_the_connection(manual_clock: ManualClock) -> None:
    source = Source(0, endless=True)
    async with serving(source, manual_clock) as server, httpx.AsyncClient() as client:
        request = client.build_request("GET", server.url + PATH, headers=EVENTS)
        asking = asyncio.create_task(client.send(request, stream=True))
        await eventually(lambda: manual_clock.waiting == 1)
        await manual_clock.advance(1)  # no error came at once: the response begins
        answer = await asking
        chunks = answer.aiter_text()
        await eventually(lambda: manual_clock.waiting == 1)
        await manual_clock.advance(15)
        assert await anext(chunks) == ":\n\n"
        source.more.set()
        assert "id: 100" in await anext(chunks)
        await answer.aclose()


async def test_a_deadline_ends_a_stream_with_its_status(manual_clock: ManualClock) -> None:
    source = Source(1, endless=True)
    async with serving(source, manual_clock) as server, httpx.AsyncClient() as client:
        asking = asyncio.create_task(client.get(server.url + PATH, headers={"grpc-timeout": "5S"}))
        await eventually(lambda: source.running == 1 and manual_clock.waiting == 1)
        await manual_clock.advance(5)
        lines = (await asking).text.splitlines()
    assert json.loads(lines[-1])["error"]["code"] == 4
    assert source.running == 0


async def test_a_service_that_stops_ends_its_streams_after_what_it_has_sent() -> None:
    source = Source(1, endless=True)
    rest = transcoder(Things(stream=source.stream), special=SPECIAL)
    async with WebServer(cast(Any, rest)) as server, httpx.AsyncClient() as client:
        async with client.stream("GET", server.url + PATH, headers=EVENTS) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "id: 1"
            await rest.end_streams()
            told = [line async for line in lines]
        late = await client.get(server.url + PATH)
    assert told[2] == "event: failure"
    assert json.loads(told[3].removeprefix("data: "))["code"] == 14
    assert source.running == 0
    assert (late.status_code, late.headers["retry-after"]) == (503, "1")


async def test_a_head_asks_nothing() -> None:
    source = Source()
    async with serving(source) as server, httpx.AsyncClient() as client:
        response = await client.head(server.url + PATH, headers=EVENTS)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert source.running == 0
