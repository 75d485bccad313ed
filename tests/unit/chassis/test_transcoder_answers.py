"""From messages and errors to HTTP: how answers are printed, which status an error has."""

import json
from datetime import timedelta
from typing import Any

import grpc
import pytest

from tests.unit.chassis.transcoding import Things, ask, client_of, raising, thing, transcoder, violations
from wakepoint.chassis import errors
from wakepoint.chassis.transcoder import Special

X = "/v1/things/x"


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
