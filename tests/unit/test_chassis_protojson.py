import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from wakepoint.chassis import protojson
from wakepoint.chassis.errors import InvalidArgument, Violations

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda f: not f.is_integer()
)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_TEXT, _JSON, max_size=4))
def test_what_goes_into_a_struct_comes_back_with_its_types(value: dict[str, object]) -> None:
    struct = Struct.FromString(protojson.python_to_struct(value).SerializeToString())
    found = protojson.struct_to_python(struct)
    assert found == value
    assert _types(found) == _types(value)


def _types(value: object) -> object:
    match value:
        case dict():
            return {key: _types(item) for key, item in value.items()}
        case list():
            return [_types(item) for item in value]
        case _:
            return type(value)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1.0, 1),
        (-3.0, -3),
        (0.0, 0),
        (float(2**53), 2**53),
        (1.5, 1.5),
        (float(2**53 + 2), float(2**53 + 2)),
        (1e300, 1e300),
    ],
)
def test_integral_numbers_within_two_to_the_53_are_integers(number: float, expected: float) -> None:
    found = protojson.value_to_python(Value(number_value=number))
    assert found == expected
    assert type(found) is type(expected)


def test_larger_integers_travel_as_exact_text() -> None:
    assert protojson.python_to_value(2**53 + 1).string_value == "9007199254740993"
    assert protojson.python_to_value(-(2**70)).string_value == str(-(2**70))
    assert protojson.python_to_value(2**53).number_value == 2**53


def test_every_nan_and_infinity_is_named_by_its_path() -> None:
    struct = Struct()
    struct.fields["a"].list_value.values.add().number_value = math.nan
    struct.fields["b"].struct_value.fields["c"].number_value = -math.inf
    struct.fields["d"].number_value = 1
    with pytest.raises(InvalidArgument) as caught:
        protojson.struct_to_python(struct, "event.payload")
    assert sorted(v.field for v in caught.value.violations) == ["event.payload.a[0]", "event.payload.b.c"]


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"x": {1, 2}}, b"bytes", {"x": "\ud800"}, {"\ud800": 1}])
def test_what_json_does_not_have_is_refused_on_the_way_out(value: object) -> None:
    with pytest.raises(InvalidArgument):
        protojson.python_to_value(value, "output")


def test_empty_containers_keep_their_kind() -> None:
    found = protojson.struct_to_python(protojson.python_to_struct({"list": [], "dict": {}, "null": None}))
    assert found == {"list": [], "dict": {}, "null": None}


def test_a_value_that_was_never_set_is_null() -> None:
    assert protojson.value_to_python(Value()) is None


def test_what_postgres_cannot_store_is_named_by_its_path() -> None:
    faults = Violations()
    value = {"ok": "x", "a": ["fine", "nul\x00"], "b": {"c": "\udfff"}, "key\x00": 1}
    protojson.check_text(value, "payload", faults)
    assert sorted(f.field for f in faults) == ["payload", "payload.a[1]", "payload.b.c"]


def test_text_that_postgres_stores_has_no_fault() -> None:
    faults = Violations()
    protojson.check_text({"a": ["ä€😀", 1, None, True, 2.5], "": ""}, "payload", faults)
    protojson.check_text("plain", "name", faults)
    assert len(faults) == 0


def _nested(levels: int) -> object:
    value: object = "leaf"
    for _ in range(levels):
        value = {"a": value}
    return value


def test_nesting_is_bounded_so_that_a_peer_can_always_parse_it() -> None:
    faults = Violations()
    protojson.check_text(_nested(protojson.MAX_DEPTH), "ok", faults)
    assert len(faults) == 0
    protojson.check_text(_nested(protojson.MAX_DEPTH + 1), "deep", faults)
    assert len(faults) == 1
    wrapped = {"outputs": {"node": [{"payload": _nested(protojson.MAX_DEPTH)}]}}
    Struct.FromString(protojson.python_to_struct(wrapped).SerializeToString())


def test_times_are_aware_utc_both_ways() -> None:
    moment = datetime(2026, 11, 22, 8, 30, 1, 250_000, tzinfo=timezone(timedelta(hours=2)))
    found = protojson.timestamp_to_datetime(protojson.datetime_to_timestamp(moment))
    assert found == moment
    assert found.tzinfo is UTC


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        protojson.datetime_to_timestamp(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(("seconds", "nanos"), [(2**60, 0), (0, -1), (-(2**50), 0)])
def test_an_impossible_time_names_its_field(seconds: int, nanos: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        protojson.timestamp_to_datetime(Timestamp(seconds=seconds, nanos=nanos), "wake_time")
    assert caught.value.violations[0].field == "wake_time"


@given(st.timedeltas(timedelta(days=-3_000_000), timedelta(days=3_000_000)))
def test_spans_survive_to_the_microsecond(span: timedelta) -> None:
    assert protojson.duration_to_timedelta(protojson.timedelta_to_duration(span)) == span


@pytest.mark.parametrize(("seconds", "nanos"), [(2**50, 0), (1, -5)])
def test_an_impossible_span_names_its_field(seconds: int, nanos: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        protojson.duration_to_timedelta(Duration(seconds=seconds, nanos=nanos), "ttl")
    assert caught.value.violations[0].field == "ttl"
