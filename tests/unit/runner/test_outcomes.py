"""What a node gives out: whether it can be kept, and how its failures are told."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner_service.domain.graph import RetryPolicy
from runner_service.usecases.execution.outcomes import error_of, outputs_of, storable
from runner_service.usecases.execution.passages import backoff_seconds
from runner_service.worker.hot_waits import BoundedHotWaits
from wakepoint.nodes import NodeError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


@given(JSON)
def test_json_is_kept_as_it_is(value: Any) -> None:
    assert storable({"output": value}, "output", 10**6) == {"output": value}


@given(st.text())
def test_any_text_is_kept_or_refused_but_never_passed_on_unstorable(text: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        with pytest.raises(NodeError) as refusal:
            storable({"output": text}, "output", 10**6)
        assert not refusal.value.retryable
    else:
        assert storable({"output": text}, "output", 10**6) == {"output": text}


def test_the_limit_is_counted_in_bytes_of_json() -> None:
    assert storable({"o": "é" * 5}, "output", 18) == {"o": "é" * 5}
    with pytest.raises(NodeError, match="19 bytes, more than 18"):
        storable({"o": "é" * 5 + "x"}, "output", 18)


def test_one_output_is_the_value_and_several_are_a_mapping() -> None:
    assert outputs_of(("output",), {"true": 1}, 100) == {"output": {"true": 1}}
    assert outputs_of(("true", "false"), {"true": 1}, 100) == {"true": 1}
    assert outputs_of(("true", "false"), {}, 100) == {}
    for wrong in (1, {"maybe": 1}, None):
        with pytest.raises(NodeError, match="true, false"):
            outputs_of(("true", "false"), wrong, 100)


@given(st.text())
def test_any_error_text_becomes_storable(text: str) -> None:
    told = error_of(ValueError(text))
    assert told["type"] == "ValueError"
    assert told["message"]
    for part in told.values():
        assert "\0" not in part
        part.encode()


def test_a_foreseen_error_is_told_without_the_runners_insides() -> None:
    assert error_of(NodeError("no such model")) == {"type": "NodeError", "message": "no such model", "traceback": ""}


def test_pauses_double_up_to_their_bound_and_never_overflow() -> None:
    retry = RetryPolicy(max_attempts=1000, initial_backoff_seconds=0.5, max_backoff_seconds=10)
    assert [backoff_seconds(retry, failures) for failures in (1, 2, 3, 4, 5, 6, 999)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_places_in_memory_are_given_up_oldest_first_and_once() -> None:
    waits, evicted = BoundedHotWaits(2), list[str]()
    leave = [waits.enter(partial(evicted.append, name)) for name in ("a", "b")]
    leave[0]()
    waits.enter(lambda: evicted.append("c"))
    assert (evicted, len(waits)) == ([], 2)
    waits.enter(lambda: evicted.append("d"))
    assert (evicted, len(waits)) == (["b"], 2)
    leave[1]()
    assert len(waits) == 2, "who was evicted has no place to leave"


def test_with_no_places_everybody_is_sent_away_at_once() -> None:
    waits, evicted = BoundedHotWaits(0), list[str]()
    waits.enter(lambda: evicted.append("a"))()
    assert (evicted, len(waits)) == (["a"], 0)
