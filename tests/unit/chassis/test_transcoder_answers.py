"""From messages and errors to HTTP: how answers are printed, which status an error has, what calls are told."""

import asyncio
import json
from datetime import timedelta
from typing import Any, NoReturn

import grpc
import httpx
import pytest

from tests.support.conditions import eventually
from tests.unit.chassis.transcoding import Things, client_of, reason, thing, transcoder, violations
from wakepoint.chassis import errors
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.transcoder import Special

X = "/v1/things/x"


def raising(error: BaseException) -> Any:
    def answer(_: object) -> NoReturn:
        raise error

    return answer


async def ask(method: str, url: str, things: Things, **options: Any) -> httpx.Response:
    async with client_of(transcoder(things)) as client:
        return await client.request(method, url, **options)


async def test_an_answer_has_the_protos_names_and_prints_defaults() -> None:
    things = Things(lambda request: thing(name=request.name, count=2**53 + 1, kind=2, life_span=timedelta(seconds=90)))
    response = await ask("GET", X, things)
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "name": "x",
        "size": 0,
        "count": "9007199254740993",
        "few": 0,
        "ratio": 0,
        "hot": False,
        "raw": "",
        "kind": "KIND_SQUARE",
        "part_list": [],
        "word_list": [],
        "kind_list": [],
        "labels": {},
        "life_span": "90s",
        "etag": "",
    }


async def test_integers_in_free_form_values_are_printed_as_integers() -> None:
    answered = thing(extra={"a": 5, "b": 0.5, "c": [-(2**53)]})
    response = await ask("GET", X, Things(lambda _: answered))
    assert '"extra":{' in response.text
    assert sorted(response.text.partition('"extra":{')[2].partition("},")[0].split(",")) == [
        '"a":5',
        '"b":0.5',
        '"c":[-9007199254740992]',
    ]


async def test_a_large_answer_is_printed_like_a_small_one() -> None:
    answered = thing(word_list=["ä" * 1000] * 100)
    assert (await ask("GET", X, Things(lambda _: answered))).json()["word_list"] == ["ä" * 1000] * 100


async def test_one_field_of_the_answer_can_be_the_whole() -> None:
    parts = thing(part_list=[{"name": "a"}, {"name": "b"}])
    assert [part["name"] for part in (await ask("GET", "/things", Things(lambda _: parts))).json()] == ["a", "b"]
    assert (await ask("GET", "/things", Things())).json() == []


async def test_the_answers_etag_is_a_header_and_comes_back_as_one() -> None:
    things = Things(lambda request: thing(etag='"7"'))
    assert (await ask("GET", X, things)).headers["etag"] == '"7"'
    await ask("PUT", X, things, headers={"If-Match": 'W/"6"'}, json={})
    await ask("PUT", X, things, headers={"If-Match": "*"}, json={})
    await ask("PUT", X, things, headers={"If-Match": '"6"'}, json={"etag": "mine"})
    assert [request.etag for request in things.asked] == ["", '"6"', "", "mine"]
    several = await ask("PUT", X, things, headers={"If-Match": '"1", "2"'}, json={})
    assert violations(several) == [("if-match", "must be one etag")]


@pytest.mark.parametrize(
    ("error", "http_status", "code"),
    [
        (errors.InvalidArgument.of("name", "is odd"), 400, 3),
        (errors.FailedPrecondition("not now"), 400, 9),
        (errors.Unauthenticated("who"), 401, 16),
        (errors.PermissionDenied("no"), 403, 7),
        (errors.NotFound("none", reason="THING_NOT_FOUND", thing="x"), 404, 5),
        (errors.AlreadyExists("two"), 409, 6),
        (errors.Aborted("late"), 409, 10),
        (errors.ResourceExhausted("full", retry_after=timedelta(seconds=2.5)), 429, 8),
        (errors.Unimplemented("not yet"), 501, 12),
        (errors.Unavailable("away"), 503, 14),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_error_is_its_status_with_details(error: errors.WakepointError, http_status: int, code: int) -> None:
    response = await ask("GET", X, Things(raising(error)))
    assert response.status_code == http_status
    body = response.json()
    assert (body["code"], body["message"]) == (code, error.message)
    assert body["details"][0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.reason,
        "domain": "wakepoint",
        "metadata": dict(error.metadata),
    }
    if isinstance(error, errors.InvalidArgument):
        assert violations(response) == [("name", "is odd")]
    expected = {429: "3", 503: "1"}.get(http_status)
    assert response.headers.get("retry-after") == expected
    assert response.headers.get("www-authenticate") == ("Bearer" if http_status == 401 else None)


async def test_an_unexpected_error_leaks_nothing_but_the_callers_trace_id() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    response = await ask(
        "GET", X, Things(raising(ValueError("secret-dsn"))), headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    )
    assert (response.status_code, response.json()["message"]) == (500, f"internal error (trace id {trace})")
    assert "secret-dsn" not in response.text


async def test_a_method_that_aborts_or_sets_a_code_by_itself_is_understood() -> None:
    things = Things()

    async def abort(_: object) -> None:
        await things.contexts[-1].abort(grpc.StatusCode.OUT_OF_RANGE, "by hand")

    def set_code(request: Any) -> Any:
        things.contexts[-1].set_code(grpc.StatusCode.NOT_FOUND)
        things.contexts[-1].set_details("by code")
        return request

    things.answer = abort
    response = await ask("GET", X, things)
    assert (response.status_code, response.json()["message"]) == (500, "by hand")
    things.answer = set_code
    response = await ask("GET", X, things)
    assert (response.status_code, response.json()["message"]) == (404, "by code")


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


async def test_what_cannot_be_read_is_explained_beside_what_the_method_would_say() -> None:
    told: list[Any] = []

    def explain(request: Any) -> Any:
        told.append(request)
        return [errors.FieldViolation("word_list", "must be sorted"), errors.FieldViolation("hot", "must be a boolean")]

    rest = transcoder(Things(), special={"Put": Special(explain=explain)})
    async with client_of(rest) as client:
        response = await client.put(X, content=json.dumps({"wordList": ["b", "a"], "hot": 1}))
        assert (await client.put(X, json={"wordList": ["b", "a"]})).status_code == 200
    assert violations(response) == [("word_list", "must be sorted"), ("hot", "must be a boolean")]
    assert told == [{"word_list": ["b", "a"], "hot": 1, "name": "x"}]
