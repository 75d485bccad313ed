"""Spans, counts and keys as they are written, stored and read; refusals as they are tallied."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trigger_service.domain.concurrency import Concurrency, OnConflict, check_concurrency, read_concurrency
from trigger_service.domain.configs import Debounce, RateLimit, TriggerConfig, WhilePaused
from trigger_service.domain.dispatch import Change, Lease, Tally, tallies
from trigger_service.domain.firings import FiringState
from trigger_service.domain.spans import span_of, text_of
from trigger_service.domain.state_options import StateOptions
from trigger_service.usecases.overlap import Overlap
from wakepoint.chassis.errors import Violations


@given(st.timedeltas(timedelta(0), timedelta(days=3_652)))
def test_a_span_is_read_back_as_it_was_written(span: timedelta) -> None:
    assert span_of(text_of(span)) == span


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("0.5s", 0.5), ("-1.25s", -1.25), ("1.0000009s", 1), ("0s", 0)]
)
def test_spans_are_read_as_protobuf_writes_them(text: str, seconds: float) -> None:
    assert span_of(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "given_value", ["", "s", "5", "5 s", "5m", "PT5S", "1e3s", "\u0665s", 7, None, True, "9" * 40 + "s"]
)
def test_what_is_no_span_is_refused(given_value: object) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 90s"):
        span_of(given_value)


def test_a_config_with_every_option_is_stored_and_read_back_as_it_was() -> None:
    config = TriggerConfig(
        trigger_type="TRAIN",
        is_enabled=True,
        delay=timedelta(seconds=1.5),
        debounce=Debounce(quiet_period=timedelta(minutes=1), max_wait=timedelta(hours=1)),
        max_firings=3,
        rate_limit=RateLimit(max_firings=2, window=timedelta(days=1)),
        while_paused=WhilePaused.DROP_AND_RECORD,
        fault="is read only",
    )
    stored = config.to_stored()
    assert stored == {
        "trigger_type": "TRAIN",
        "is_enabled": True,
        "delay": "1.5s",
        "debounce": {"quiet_period": "60s", "max_wait": "3600s"},
        "max_firings": 3,
        "rate_limit": {"max_firings": 2, "window": "86400s"},
        "while_paused": "DROP_AND_RECORD",
    }
    assert TriggerConfig.model_validate(stored) == config.model_copy(update={"fault": ""})


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        ({}, False),
        ({"delay": timedelta(1), "while_paused": "HOLD"}, False),
        ({"max_firings": 1}, True),
        ({"debounce": {"quiet_period": timedelta(1)}}, True),
        ({"rate_limit": {"max_firings": 1, "window": timedelta(1)}}, True),
    ],
)
def test_only_options_that_count_or_fold_need_a_counter(options: dict[str, Any], needs: bool) -> None:
    config = TriggerConfig.model_validate({"trigger_type": "TRAIN", "is_enabled": True, **options})
    assert config.needs_admission is needs


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"delay": 5}, [("c.delay", "must be a duration such as 90s")]),
        ({"debounce": 5}, [("c.debounce", "must be a dictionary")]),
        (
            {"debounce": {"quiet": "5s"}},
            [
                ("c.debounce.quiet", "is not a field of debounce"),
                ("c.debounce.quiet_period", "must be given"),
            ],
        ),
        (
            {"debounce": {"quiet_period": "-5s", "max_wait": "0s"}},
            [
                ("c.debounce.quiet_period", "must be longer than nothing"),
                ("c.debounce.max_wait", "must be longer than nothing"),
            ],
        ),
        ({"max_firings": True}, [("c.max_firings", "must be a whole number from 0 to 2147483647")]),
        ({"max_firings": 2**31}, [("c.max_firings", "must be a whole number from 0 to 2147483647")]),
        (
            {"rate_limit": {"max_firings": 1.5, "window": "3653d"}},
            [
                ("c.rate_limit.max_firings", "must be a whole number from 1 to 2147483647"),
                ("c.rate_limit.window", "must be a duration such as 90s"),
            ],
        ),
        ({"while_paused": ["HOLD"]}, [("c.while_paused", "must be one of HOLD, DROP_AND_RECORD")]),
    ],
)
def test_faulty_options_are_named_together(item: dict[str, object], expected: list[tuple[str, str]]) -> None:
    faults = Violations()
    options = StateOptions(item, "c", faults)
    for read in (options.delay, options.debounce, options.max_firings, options.rate_limit, options.while_paused):
        read()
    assert [(fault.field, fault.description) for fault in faults] == expected


def test_options_may_be_written_as_over_rest() -> None:
    options = StateOptions(
        {
            "delay": "0s",
            "debounce": None,
            "rate_limit": {"max_firings": 1, "window": "0.000001s"},
            "while_paused": "WHILE_PAUSED_HOLD",
        },
        "c",
        Violations(),
    )
    assert (options.delay(), options.debounce(), options.max_firings()) == (None, None, 0)
    assert options.rate_limit() == RateLimit(max_firings=1, window=timedelta(microseconds=1))
    assert options.while_paused() is WhilePaused.HOLD


@pytest.mark.parametrize("choice", ["QUEUE", "ON_CONFLICT_QUEUE"])
def test_concurrency_is_read_in_either_spelling(choice: str) -> None:
    faults = Violations()
    found = check_concurrency({"key": "k-${input.n}", "on_conflict": choice}, Overlap().problem_of, faults)
    assert found == Concurrency(key="k-${input.n}", on_conflict=OnConflict.QUEUE)
    assert not faults
    assert read_concurrency(found.to_stored()) == found


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        ("k", ["concurrency"]),
        ({}, ["concurrency.key"]),
        ({"key": "", "on_conflict": "WAIT", "x": 1}, ["concurrency.x", "concurrency.key", "concurrency.on_conflict"]),
        ({"key": "${input."}, ["concurrency.key"]),
        ({"key": "${job.name}"}, ["concurrency.key"]),
        ({"key": "x" * 1_025}, ["concurrency.key"]),
    ],
)
def test_every_fault_of_a_concurrency_is_named(given_value: object, expected: list[str]) -> None:
    faults = Violations()
    assert check_concurrency(given_value, Overlap().problem_of, faults) is None
    assert [fault.field for fault in faults] == expected


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_stored_concurrency_is_none(nothing: object) -> None:
    assert read_concurrency(nothing) is None


def test_tallies_count_refusals_since_the_last_success_per_workflow_in_the_order_of_ids() -> None:
    def told(workflow: int, state: FiringState, refused: int = 0, error: str = "") -> tuple[Lease, Change]:
        firing_id = UUID(int=99)
        lease = Lease(firing_id, UUID(int=workflow), "e", "ev", "TRAIN", "00", {}, 0, 0, 0)
        return lease, Change(firing_id, state, error=error, refused=refused)

    taken, retried = FiringState.DISPATCHED, FiringState.RETRYING
    assert tallies(
        [
            told(2, retried, 1, "first"),
            told(1, retried, 1, "a"),
            told(2, taken),
            told(2, FiringState.DEAD, 1, "last"),
            told(1, retried, 1, "b"),
            told(3, retried, 0, "trouble"),
            told(4, FiringState.QUEUED),
        ]
    ) == [
        Tally(UUID(int=1), was_taken=False, refusals=2, last_error="b"),
        Tally(UUID(int=2), was_taken=True, refusals=1, last_error="last"),
    ]
