"""From HTTP requests to messages: names, kinds of values, and everything that is refused."""

import json
from typing import Any

import httpx
import pytest
from google.api.http_pb2 import HttpRule
from google.protobuf import json_format

from tests.unit.chassis.transcoding import Things, client_of, reason, service, thing, transcoder, violations

PUT = "/v1/things/x"


async def ask(method: str, url: str, things: Things | None = None, **options: Any) -> httpx.Response:
    async with client_of(transcoder(things or Things())) as client:
        return await client.request(method, url, **options)


async def message_of(method: str, url: str, **options: Any) -> Any:
    things = Things()
    response = await ask(method, url, things, **options)
    assert response.status_code == 200, response.text
    return things.asked[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("size=-7", {"size": -7}),
        ("size=2147483647&count=9223372036854775807", {"size": 2147483647, "count": "9223372036854775807"}),
        ("ratio=0.5&hot=true", {"ratio": 0.5, "hot": True}),
        ("hot=false", {}),
        ("kind=KIND_SQUARE", {"kind": "KIND_SQUARE"}),
        ("kind=1", {"kind": "KIND_ROUND"}),
        ("word_list=a&word_list=b&word_list=", {"word_list": ["a", "b", ""]}),
        ("kind_list=KIND_ROUND&kindList=2", None),
        ("kindList=KIND_ROUND&kindList=2", {"kind_list": ["KIND_ROUND", "KIND_SQUARE"]}),
        (
            "parent_thing.inner_part.name=deep&parentThing.weight=3",
            {"parent_thing": {"inner_part": {"name": "deep"}, "weight": "3"}},
        ),
        ("made_time=2026-11-22T06:00:00.5%2B01:00", {"made_time": "2026-11-22T05:00:00.500Z"}),
        ("life_span=90.5s", {"life_span": "90.500s"}),
        ("mask=name,parent_thing.name", {"mask": "name,parentThing.name"}),
        ("mask=parentThing.innerPart", {"mask": "parentThing.innerPart"}),
        ("raw=AQI_-w", {"raw": "AQI/+w=="}),
        ("name=%C3%A4%20%2B+", {"name": "ä + "}),
    ],
)
async def test_a_query_says_fields_in_their_json_forms(query: str, expected: Any) -> None:
    if expected is None:
        assert violations(await ask("GET", f"/v1/things?{query}")) == [("kind_list", "comes twice")]
        return
    message = await message_of("GET", f"/v1/things?{query}")
    assert json_format.MessageToDict(message, preserving_proto_field_name=True) == expected


@pytest.mark.parametrize(
    ("query", "field", "description"),
    [
        ("nope=1", "nope", "is not a parameter of this method"),
        ("parent_thing.nope=1", "parent_thing.nope", "is not a parameter of this method"),
        ("name.deeper=1", "name.deeper", "is not a parameter of this method"),
        ("made_time.seconds=1", "made_time.seconds", "is not a parameter of this method"),
        ("part_list.name=1", "part_list.name", "is not a parameter of this method"),
        ("=1", "", "is not a parameter of this method"),
        ("extra=1", "extra", "cannot be told by the query"),
        ("parent_thing=1", "parent_thing", "cannot be told by the query"),
        ("labels=1", "labels", "cannot be told by the query"),
        ("size=1&size=2", "size", "comes twice"),
        ("size=1.5", "size", "must be a whole number from -2147483648 to 2147483647"),
        ("size=2147483648", "size", "must be a whole number from -2147483648 to 2147483647"),
        ("few=-1", "few", "must be a whole number from 0 to 4294967295"),
        ("count=%D9%A1", "count", "must be a whole number from -9223372036854775808 to 9223372036854775807"),
        ("ratio=nan", "ratio", "must be a finite number"),
        ("hot=1", "hot", "must be a boolean"),
        ("hot", "hot", "must be a boolean"),
        ("kind=ROUND", "kind", "must be one of KIND_UNSPECIFIED, KIND_ROUND, KIND_SQUARE"),
        (
            "kind_list=KIND_ROUND&kind_list=x",
            "kind_list[1]",
            "must be one of KIND_UNSPECIFIED, KIND_ROUND, KIND_SQUARE",
        ),
        ("made_time=yesterday", "made_time", "must be a time such as 2027-01-31T12:00:00Z"),
        ("life_span=5", "life_span", "must be a duration such as 90s"),
        ("raw=?", "raw", "must be base64"),
        ("name=%FF", "query", "must be UTF-8, of at most 2000 parameters"),
    ],
)
async def test_a_query_that_does_not_fit_is_told_by_name(query: str, field: str, description: str) -> None:
    response = await ask("GET", f"/v1/things?{query}")
    assert response.status_code == 400
    assert violations(response) == [(field, description)]


async def test_a_body_has_every_kind_of_field_under_both_names() -> None:
    body = {
        "size": 3.0,
        "count": "12",
        "kind": 2,
        "parentThing": {"innerPart": {"name": "deep"}, "weight": 5},
        "part_list": [{"name": "a"}, {"name": "b"}],
        "labels": {"some_key": "v"},
        "made_time": "2026-11-22T06:00:00Z",
        "extra": {"aKey": [1, 2.5, None, True, {"b_key": "x"}]},
        "anyValue": None,
        "some_list": [1, "a"],
        "hot": None,
    }
    message = await message_of("PUT", PUT, json=body)
    assert json_format.MessageToDict(message, preserving_proto_field_name=True) == {
        "name": "x",
        "size": 3,
        "count": "12",
        "kind": "KIND_SQUARE",
        "parent_thing": {"inner_part": {"name": "deep"}, "weight": "5"},
        "part_list": [{"name": "a"}, {"name": "b"}],
        "labels": {"some_key": "v"},
        "made_time": "2026-11-22T06:00:00Z",
        "extra": {"aKey": [1, 2.5, None, True, {"b_key": "x"}]},
        "any_value": None,
        "some_list": [1, "a"],
    }


async def test_everything_that_is_wrong_with_a_request_is_told_at_once() -> None:
    body = {
        "size": "x",
        "count": 1.5,
        "few": True,
        "ratio": "much",
        "hot": "true",
        "kind": "CUBE",
        "parent_thing": "flat",
        "part_list": [{"name": 1}, 2, None],
        "word_list": "w",
        "labels": {"a": 1},
        "made_time": 5,
        "mask": 5,
        "extra": [],
        "some_list": {},
        "any_value": "\0",
        "etag": "\ud800",
        "what": 1,
        "parentThing": {},
    }
    response = await ask("PUT", f"{PUT}?who=me", content=json.dumps(body))
    assert response.status_code == 400
    assert dict(violations(response)) == {
        "size": "must be a whole number from -2147483648 to 2147483647",
        "count": "must be a whole number from -9223372036854775808 to 9223372036854775807",
        "few": "must be a whole number from 0 to 4294967295",
        "ratio": "must be a finite number",
        "hot": "must be a boolean",
        "kind": "must be one of KIND_UNSPECIFIED, KIND_ROUND, KIND_SQUARE",
        "parent_thing": "comes twice",
        "part_list[0].name": "must be a string",
        "part_list[1]": "must be a dictionary",
        "part_list[2]": "must be a dictionary",
        "word_list": "must be a list",
        "labels.a": "must be a string",
        "made_time": "must be a time such as 2027-01-31T12:00:00Z",
        "mask": "must be names of fields, divided by commas",
        "extra": "must be a dictionary",
        "some_list": "must be a list",
        "any_value": "must not contain NUL characters or lone surrogates",
        "etag": "must not contain NUL characters or lone surrogates",
        "what": "is not a known field",
        "who": "is not a parameter of this method",
    }


async def test_a_large_body_is_read_like_a_small_one() -> None:
    things = Things()
    async with client_of(transcoder(things, max_body_bytes=10**7)) as client:
        assert (await client.put(PUT, json={"word_list": ["a" * 100] * 2_000})).status_code == 200
        response = await client.put(PUT, json={"word_list": ["a" * 100] * 2_000 + [1]})
    assert things.asked == [thing(name="x", word_list=["a" * 100] * 2_000)]
    assert violations(response) == [("word_list[2000]", "must be a string")]


async def test_numbers_that_no_double_holds_stay_exact_as_text() -> None:
    message = await message_of("PUT", PUT, content=b'{"extra": {"big": 9007199254740993}}')
    assert message.extra.fields["big"].string_value == "9007199254740993"


@pytest.mark.parametrize(
    ("value", "description"),
    [
        ("1e999", "must be a finite number"),
        ("[" * 30 + "]" * 30, "must not be nested deeper than 20 levels"),
    ],
)
async def test_free_form_values_have_bounds(value: str, description: str) -> None:
    response = await ask("PUT", PUT, content=f'{{"any_value": {value}}}')
    assert [(field.partition("[")[0], text) for field, text in violations(response)] == [("any_value", description)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"size": 1,}', "line 1, column 12"),
        (b'{\n  "size": nul\n}', "line 2, column 11"),
        (b"[" * 9_000, "nested too deep"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b'{"ratio": Infinity}', "Infinity is no number"),
        (b'{"extra": {"a": 1, "a": 2}}', "'a' comes twice in an object"),
        (b'{"size": ' + b"9" * 5_000 + b"}", "must be JSON"),
    ],
)
async def test_a_body_that_is_no_json_is_told_what_and_where(content: bytes, message: str) -> None:
    response = await ask("PUT", PUT, content=content)
    assert response.status_code == 400
    assert [field for field, _ in violations(response)] == ["body"]
    assert message in response.json()["message"]
    assert reason(response) == "MALFORMED_JSON"


@pytest.mark.parametrize("content", [b"[]", b"1", b'"a"', b"null"])
async def test_a_body_that_is_no_object_is_refused(content: bytes) -> None:
    assert violations(await ask("PUT", PUT, content=content)) == [("body", "must be a dictionary")]


async def test_no_body_is_an_empty_one() -> None:
    assert await message_of("POST", "/v1/things/x:cool") == thing(name="x")


async def test_a_body_where_none_belongs_is_refused() -> None:
    [(field, _)] = violations(await ask("DELETE", PUT, content=b"{}"))
    assert field == "body"


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
