import base64
import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.paging import PageToken, filter_hash, page_size_of

_AS_OF = datetime(2026, 11, 22, 6, 3, 1, 123456, tzinfo=UTC)
_QUERY = filter_hash("ListRuns", {"experiment_id": "e1", "states": ["QUEUED"]})


def _forged(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1) | st.uuids().map(str), max_size=4))
def test_a_token_comes_back_as_it_was_given_out(key: list[str | int]) -> None:
    token = PageToken(_QUERY, _AS_OF, tuple(key))
    assert PageToken.decode(token.encode(), filter_hash=_QUERY) == token


def test_no_token_is_the_first_page() -> None:
    assert PageToken.decode("", filter_hash=_QUERY) is None


def test_another_querys_token_is_refused() -> None:
    token = PageToken(_QUERY, _AS_OF, ("r1",)).encode()
    other = filter_hash("ListRuns", {"experiment_id": "e2", "states": ["QUEUED"]})
    with pytest.raises(InvalidArgument, match="another query") as caught:
        PageToken.decode(token, filter_hash=other)
    assert [v.field for v in caught.value.violations] == ["page_token"]


@pytest.mark.parametrize(
    "garbage",
    [
        "!",
        "abc",
        "ä",
        "A" * 5000,
        _forged(),
        _forged(_QUERY, "yesterday", []),
        _forged(_QUERY, "2026-01-01T00:00:00", []),
        _forged(_QUERY, "2026-01-01T00:00:00+00:00", 7),
        _forged(_QUERY, "2026-01-01T00:00:00+00:00", [None]),
        _forged(_QUERY, "2026-01-01T00:00:00+00:00", [1.5]),
        _forged(_QUERY, "2026-01-01T00:00:00+00:00", ["nul\x00"]),
        _forged(_QUERY, "2026-01-01T00:00:00+00:00", ["\ud800"]),
        _forged(_QUERY, "2026-01-01T00:00:00+00:00", [2**63]),
        _forged(7, "2026-01-01T00:00:00+00:00", []),
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_garbage_is_refused_by_the_field_name(garbage: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        PageToken.decode(garbage, filter_hash=_QUERY)
    assert [v.field for v in caught.value.violations] == ["page_token"]


@given(st.text(max_size=60))
def test_no_text_makes_decoding_fail_in_another_way(text: str) -> None:
    with suppress(InvalidArgument):
        assert PageToken.decode(text, filter_hash=_QUERY) is None


def test_the_order_of_filters_does_not_matter_but_their_values_and_the_method_do() -> None:
    first = filter_hash("ListRuns", {"a": 1, "b": None})
    assert first == filter_hash("ListRuns", {"b": None, "a": 1})
    assert first != filter_hash("ListRuns", {"a": 1, "b": ""})
    assert first != filter_hash("ListRunEvents", {"a": 1, "b": None})


@pytest.mark.parametrize(("requested", "used"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000)])
def test_page_sizes_have_a_default_and_a_limit(requested: int, used: int) -> None:
    assert page_size_of(requested) == used


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        page_size_of(-1)
    assert caught.value.violations[0].field == "page_size"
