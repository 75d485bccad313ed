"""From a query to a message: names, kinds of values, and what is refused."""

from typing import Any

import pytest
from google.protobuf import json_format

from tests.unit.chassis.transcoding import ask, message_of, violations


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
