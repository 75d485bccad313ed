"""Which method a path leads to, what its segments say, and what is not there."""

from typing import Any

import pytest
from google.api.http_pb2 import HttpRule

from tests.unit.chassis.transcoding import Things, ask, message_of, service, thing, transcoder, violations

PUT = "/v1/things/x"


async def test_the_path_wins_nothing_the_two_must_agree() -> None:
    assert (await message_of("PUT", PUT, json={"name": "x", "size": 1})).size == 1
    disagreeing = await ask("PUT", PUT, json={"name": "y"})
    assert violations(disagreeing) == [("name", "must be left out or be as in the path")]
    assert violations(await ask("GET", f"{PUT}?name=x")) == [
        ("name", "is told by the path or the body, not by the query")
    ]


async def test_a_part_of_the_body_comes_from_the_path() -> None:
    message = await message_of("PATCH", "/v1/parts/p?size=4", json={"weight": 3})
    assert message == thing(parent_thing={"name": "p", "weight": 3}, size=4)
    message = await message_of("GET", "/v1/parts/p/4?parent_thing.weight=5")
    assert message == thing(parent_thing={"name": "p", "weight": 5}, size=4)
    inside = await ask("PATCH", "/v1/parts/p?parent_thing.weight=3", json={})
    assert violations(inside) == [("parent_thing.weight", "is told by the path or the body, not by the query")]
    flat = await ask("PATCH", "/v1/parts/p", json="flat")
    assert violations(flat) == [("parent_thing", "must be a dictionary")]


async def test_beside_a_whole_body_the_query_may_say_what_the_body_does_not() -> None:
    message = await message_of("PUT", f"{PUT}?size=4", json={"count": 5})
    assert message == thing(name="x", size=4, count=5)
    assert violations(await ask("PUT", f"{PUT}?size=4", json={"size": 4})) == [("size", "comes twice")]


@pytest.mark.parametrize(
    ("path", "name"),
    [("a%2Fb", "a/b"), ("a%3Acool", "a:cool"), ("a:b", "a:b"), ("%C3%A4", "ä"), ("a%20b%2B+", "a b++"), (".", ".")],
)
async def test_a_segment_is_one_value_however_it_is_written(path: str, name: str) -> None:
    things = Things()
    rest = transcoder(things)
    scope = {
        "type": "http", "method": "GET", "path": "/", "raw_path": f"/v1/things/{path}".encode(),
        "query_string": b"", "headers": [], "server": ("things", 80), "scheme": "http",
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await rest(scope, receive, send)
    assert sent[0]["status"] == 200
    assert things.asked == [thing(name=name)]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/things/", 404),
        ("GET", "/v1/things/a/b", 404),
        ("GET", "/v1//things", 404),
        ("GET", "/v2/things", 404),
        ("GET", "/v1/things/%FF", 400),
        ("POST", "/v1/things/a", 405),
        ("GET", "/v1/things/a:cool", 405),
        ("POST", "/v1/things/:cool", 405),
        ("BREW", "/v1/things/a", 405),
    ],
)
async def test_what_is_not_there_is_told(method: str, path: str, status: int) -> None:
    response = await ask(method, path)
    assert response.status_code == status
    assert response.json()["details"][0]["domain"] == "wakepoint"


async def test_literal_segments_beat_variables() -> None:
    things = Things()
    await ask("GET", "/v1/things/special", things)
    assert things.asked == [thing()]
    assert (await ask("DELETE", "/v1/things/special", things)).status_code == 200
    assert things.asked[1] == thing(name="special")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/things/a", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("DELETE", "/v1/things/a:cool", "OPTIONS, POST"),
        ("OPTIONS", "/v1/things", "GET, HEAD, OPTIONS"),
    ],
)
async def test_what_is_allowed_is_told(method: str, path: str, allowed: str) -> None:
    response = await ask(method, path)
    assert response.headers["allow"] == allowed
    assert response.status_code == (204 if method == "OPTIONS" else 405)
    assert not any(name.startswith("access-control") for name in response.headers)


@pytest.mark.parametrize(
    ("annotation", "complaint"),
    [
        (HttpRule(get="/v1/{nope}"), "no field nope"),
        (HttpRule(get="/v1/{name.part}"), "no fields of its own"),
        (HttpRule(get="/v1/{word_list}"), "does not fit into a path"),
        (HttpRule(get="/v1/{parent_thing}"), "does not fit into a path"),
        (HttpRule(get="/v1/{name=**}"), "neither literal nor a variable"),
        (HttpRule(get="v1"), "not a path template"),
        (HttpRule(post="/v1/x", body="nope"), "no field nope"),
        (HttpRule(get="/v1/x", response_body="nope"), "no field nope"),
        (HttpRule(get="/v1/things/{etag}"), "match the same requests"),
    ],
    ids=str,
)
def test_annotations_that_do_not_fit_are_refused_at_the_start(annotation: HttpRule, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        transcoder(Things(), described=service(Cool=annotation))
