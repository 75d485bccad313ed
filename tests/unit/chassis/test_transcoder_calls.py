"""What a call has over REST that it has over gRPC: metrics, metadata, a deadline; and what only HTTP refuses."""

import asyncio
from typing import Any

import grpc
import pytest

from tests.support.conditions import eventually
from tests.unit.chassis.transcoding import Things, ask, client_of, raising, reason, transcoder, violations
from wakepoint.chassis import errors
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.metrics import Metrics

X = "/v1/things/x"


async def test_calls_are_measured_as_over_grpc() -> None:
    metrics = Metrics()
    things = Things(raising(errors.NotFound("none")))
    rest = transcoder(things, metrics=metrics)
    async with client_of(rest) as client:
        await client.get(X)
    [sample] = [
        sample
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "wakepoint_rpcs_total"
    ]
    assert (sample.labels["method"], sample.labels["code"], sample.value) == ("Get", "NOT_FOUND", 1)


async def test_a_method_sees_headers_as_metadata() -> None:
    things = Things()
    await ask("GET", X, things, headers={"Authorization": "Bearer t"})
    assert ("authorization", "Bearer t") in things.contexts[0].invocation_metadata()
    assert things.contexts[0].time_remaining() is None


async def test_a_deadline_ends_the_call(manual_clock: ManualClock) -> None:
    ended = asyncio.Event()

    async def wait(_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with client_of(transcoder(Things(wait), clock=manual_clock)) as client:
        asking = asyncio.create_task(client.get(X, headers={"grpc-timeout": "1500m"}))
        await eventually(lambda: manual_clock.waiting == 1)
        await manual_clock.advance(1.4)
        assert not ended.is_set()
        await manual_clock.advance(0.2)
        response = await asking
    assert (response.status_code, response.json()["code"]) == (504, grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    assert ended.is_set()


@pytest.mark.parametrize("timeout", ["5", "S", "-1S", "123456789S", "1s"])
async def test_a_deadline_of_another_form_is_refused(timeout: str) -> None:
    [(field, _)] = violations(await ask("GET", X, Things(), headers={"grpc-timeout": timeout}))
    assert field == "grpc-timeout"


async def test_a_deadline_that_has_passed_asks_nothing_for_long(manual_clock: ManualClock) -> None:
    async def wait(_: object) -> None:
        await asyncio.Event().wait()

    async with client_of(transcoder(Things(wait), clock=manual_clock)) as client:
        response = await client.get(X, headers={"grpc-timeout": "0S"})
    assert response.status_code == 504


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_cut_off(declared: bool) -> None:
    async def chunks() -> Any:
        for _ in range(1_000):
            yield b" " * 1_000

    things = Things()
    response = await ask("PUT", X, things, content=b" " * 10_001 if declared else chunks())
    assert (response.status_code, reason(response)) == (413, "BODY_TOO_LARGE")
    assert things.asked == []


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"content-type": "application/json; charset=utf-8"}, b"{}", 200),
        ({"content-type": "application/vnd.things+json"}, b"{}", 200),
        ({"content-type": "application/x-www-form-urlencoded"}, b' {"size": 1}', 200),
        ({"content-type": "application/x-www-form-urlencoded"}, b"size=1", 415),
        ({"content-type": "text/plain"}, b"{}", 415),
        ({"content-type": "application/xml"}, b"<a/>", 415),
        ({"content-encoding": "gzip"}, b"{}", 415),
    ],
    ids=str,
)
async def test_only_json_is_taken(headers: dict[str, str], content: bytes, status: int) -> None:
    response = await ask("PUT", X, Things(), headers=headers, content=content)
    assert response.status_code == status
    assert status == 200 or reason(response) == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://proxy.example"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://things"}, 200),
        ({}, 200),
    ],
    ids=str,
)
async def test_other_sites_pages_change_nothing(headers: dict[str, str], status: int) -> None:
    things = Things()
    response = await ask("PUT", X, things, headers=headers, json={})
    assert (response.status_code, len(things.asked)) == (status, int(status == 200))
    assert (await ask("GET", X, things, headers=headers)).status_code == 200


async def test_a_head_is_a_get_without_its_body() -> None:
    things = Things()
    response = await ask("HEAD", X, things)
    assert response.status_code == 200
    assert int(response.headers["content-length"]) == len((await ask("GET", X, things)).content)
