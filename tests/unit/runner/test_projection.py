"""What a log folds to."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from runner_service.domain import history
from runner_service.domain.history import EventType, HistoryEvent, Line
from runner_service.domain.projection import (
    HistoryGap,
    MalformedHistory,
    NodeState,
    RunProjection,
    RunState,
    apply,
    fold,
)

NODE_EVENTS = [type_ for type_ in EventType if type_.startswith("Node") or type_ is EventType.SUSPENSION_UPDATED]
TOLD_FOR_PEOPLE = [
    type_
    for type_ in EventType
    if type_.startswith("TriggerEvent")
    or type_ in (EventType.TIMER_FIRED, EventType.SLOT_MISSED, EventType.HEALTH_CHANGED)
]
ERROR = {"type": "E", "message": "m", "traceback": "t"}


def events(lines: Sequence[Line], first: int = 1) -> list[HistoryEvent]:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        HistoryEvent("run", seq, line.event_type, line.node_id, line.activation, dict(line.payload or {}), 1, time)
        for seq, line in enumerate(lines, start=first)
    ]


def projected(*lines: Line) -> RunProjection:
    return fold(events(lines))


def test_a_run_that_waits_and_goes_on_passes_through_its_states() -> None:
    lines = [
        history.run_created(b"\1", {"x": 1}, {"firing_id": "f"}),
        history.run_queued("created"),
        Line(EventType.RUN_STARTED),
        history.node_started("m", "1", 1),
        history.node_suspended("m", "1", "idle", {"a": 1}, {"b": 2}, None),
        history.run_suspended(["m"]),
        history.run_queued("woken"),
        Line(EventType.RUN_RESUMED),
        history.node_resumed("m", "1", {"a": 1, "woke_up_at": "now"}, 1),
        history.node_completed("m", "1", {"output": 5}, consumed=1),
        history.run_completed({"o": 5}),
    ]
    states = [fold(events(lines[: n + 1])).state for n in range(len(lines))]
    assert [state.value for state in dict.fromkeys(states)] == ["QUEUED", "RUNNING", "SUSPENDED", "COMPLETED"]
    whole = fold(events(lines))
    record = whole.record("m", "1")
    assert record is not None
    assert (record.state, record.outputs, record.consumed, record.resumed) == (
        NodeState.COMPLETED,
        {"output": 5},
        1,
        True,
    )
    assert (whole.input, whole.source, whole.outputs) == ({"x": 1}, {"firing_id": "f"}, {"o": 5})
    assert (whole.first_seq, whole.last_seq) == (1, len(lines))
    assert whole.suspended_nodes() == []


def test_a_gap_and_a_repetition_in_the_log_are_noticed() -> None:
    whole = events([history.run_created(b"", None, {}), history.run_queued("created"), Line(EventType.RUN_STARTED)])
    with pytest.raises(HistoryGap, match="seq 3 follows 1"):
        fold([whole[0], whole[2]])
    with pytest.raises(HistoryGap, match="seq 1 follows 1"):
        fold([whole[0], whole[0]])


def test_a_log_may_begin_later_than_one() -> None:
    folded = fold(events([history.run_queued("created"), Line(EventType.RUN_STARTED)], first=7))
    assert (folded.first_seq, folded.last_seq) == (7, 8)


@pytest.mark.parametrize("event_type", list(EventType))
def test_every_type_of_line_has_its_place(event_type: EventType) -> None:
    payload: dict[str, Any] = {
        "attempt": 1, "outputs": {}, "error": ERROR, "reason": "r", "state": {}, "metadata": {}, "input": None,
        "source": {}, "nodes": [], "floors": {},
    }  # fmt: skip
    if event_type is EventType.RUN_SNAPSHOT:
        payload["state"] = "SUSPENDED"
    of_run, of_node = Line(event_type, payload=payload), Line(event_type, "n", "1", payload)
    if event_type in TOLD_FOR_PEOPLE:
        before = RunProjection()
        apply(before, of_run)
        apply(before, Line(event_type, "n", None, payload))
        assert before == RunProjection()
        return
    right, wrong = (of_node, of_run) if event_type in NODE_EVENTS else (of_run, of_node)
    apply(RunProjection(), right)
    with pytest.raises(MalformedHistory, match=event_type.value):
        apply(RunProjection(), wrong)


@pytest.mark.parametrize("ending", [history.run_failed(ERROR), history.run_cancelled("enough")])
def test_what_had_begun_ends_with_its_run(ending: Line) -> None:
    lines = [
        history.run_created(b"", None, {}),
        history.node_completed("done", "0", {"output": 1}),
        history.node_started("running", "0", 1),
        history.node_suspended("waiting", "1", "r", {}, {}, None),
        history.node_scheduled("scheduled", "0"),
        history.node_failed("failed", "0", ERROR),
        ending,
    ]
    states = {node_id: record.state.value for node_id, _, record in projected(*lines).records()}
    assert states == {
        "done": "COMPLETED",
        "running": "CANCELLED",
        "waiting": "CANCELLED",
        "scheduled": "CANCELLED",
        "failed": "FAILED",
    }


def test_a_retry_counts_failures_and_keeps_the_error_until_the_node_succeeds() -> None:
    lines = [
        history.node_started("n", "0", 1),
        history.node_retry_scheduled("n", "0", 2, 1.0, ERROR),
        history.node_started("n", "0", 2),
    ]
    record = projected(*lines).record("n", "0")
    assert record is not None
    assert (record.state, record.attempt, record.failures, record.error) == (NodeState.RUNNING, 2, 1, ERROR)
    record = projected(*lines, history.node_completed("n", "0", {"output": 1})).record("n", "0")
    assert record is not None
    assert record.error is None


def test_a_retried_run_keeps_what_completed_and_begins_the_rest_with_all_its_attempts() -> None:
    lines = [
        history.node_completed("done", "0", {"output": 1}),
        history.node_started("bad", "0", 1),
        history.node_retry_scheduled("bad", "0", 2, 1.0, ERROR),
        history.node_failed("bad", "0", ERROR),
        history.run_failed(ERROR),
        Line(EventType.RUN_RETRIED),
    ]
    run = projected(*lines)
    done, bad = run.record("done", "0"), run.record("bad", "0")
    assert done is not None
    assert bad is not None
    assert (run.state, run.attempt, run.error) == (RunState.QUEUED, 2, None)
    assert (done.state, bad.state, bad.failures) == (NodeState.COMPLETED, NodeState.SCHEDULED, 0)


def test_a_trigger_carries_its_count_and_its_state_into_its_next_activation() -> None:
    lines = [
        history.node_completed("t", "1.1", {"output": 1}, consumed=2, carried={"cursor": 9}),
        history.node_started("t", "1.2", 1),
    ]
    running = projected(*lines).record("t", "1.2")
    assert running is not None
    assert running.carried == {"cursor": 9}
    done = projected(*lines, history.node_completed("t", "1.2", {"output": 2}, consumed=1)).record("t", "1.2")
    assert done is not None
    assert done.consumed == 3
    other_scope = projected(*lines, history.node_completed("t", "2.1", {"output": 2}, consumed=1)).record("t", "2.1")
    assert other_scope is not None
    assert other_scope.consumed == 1


def test_a_snapshot_replaces_the_log_before_it() -> None:
    node = {"state": "COMPLETED", "attempt": 1, "outputs": {"output": 3}, "consumed": 7}
    payload = {
        "attempt": 2,
        "input": {"x": 1},
        "source": {"depth": 1},
        "state": "SUSPENDED",
        "nodes": [["t", [["7", node]]]],
        "floors": {"t": {"0": 6}},
    }
    run = fold(events([Line(EventType.RUN_SNAPSHOT, payload=payload), history.run_queued("woken")], first=900))
    record = run.record("t", "7")
    assert record is not None
    assert (record.state, record.consumed, record.outputs) == (NodeState.COMPLETED, 7, {"output": 3})
    assert (run.first_seq, run.attempt, run.state) == (900, 2, RunState.QUEUED)


def test_the_latest_activation_is_the_one_that_began_last() -> None:
    lines = [history.node_completed("t", "9", {"output": 1}), history.node_started("t", "10", 1)]
    latest = projected(*lines).latest("t")
    assert latest is not None
    assert latest[0] == "10"
