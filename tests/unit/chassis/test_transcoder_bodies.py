"""From a body to a message: every kind of field, and everything that is refused."""

import json

import pytest
from google.protobuf import json_format

from tests.unit.chassis.transcoding import Things, ask, client_of, message_of, reason, thing, transcoder, violations

PUT = "/v1/things/x"


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
