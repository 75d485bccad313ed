"""What becomes of an event, given what the locked rows say."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runner_service.domain.projection import RunState
from runner_service.domain.runs import Disposition
from runner_service.domain.trigger_events import (
    MAX_PENDING_EVENTS,
    NodeFacts,
    RunFacts,
    TriggerEvent,
    disposition_of,
    faults_of,
)

RUN = RunFacts(RunState.SUSPENDED, frozenset())
WAITING = NodeFacts(exists=True, waiting=True, pending=0)


def node(**facts: Any) -> NodeFacts:
    return NodeFacts(**({"exists": True, "waiting": True, "pending": 0} | facts))


@pytest.mark.parametrize(
    ("run", "facts", "known", "expired", "expected"),
    [
        (RUN, WAITING, False, False, Disposition.DELIVERED),
        (RUN, node(pending=1), False, False, Disposition.BUFFERED),
        (RUN, node(waiting=False), False, False, Disposition.BUFFERED),
        (RUN, WAITING, True, False, Disposition.DUPLICATE),
        (RUN, WAITING, True, True, Disposition.DUPLICATE),
        (RUN, WAITING, False, True, Disposition.EXPIRED),
        (RUN, node(exists=False), False, False, Disposition.NO_SUCH_NODE),
        (None, None, False, False, Disposition.NO_SUCH_RUN),
        (RunFacts(RunState.SUSPENDED, frozenset("m")), WAITING, False, False, Disposition.FINISHED),
        (RunFacts(RunState.COMPLETED, frozenset()), WAITING, False, False, Disposition.FINISHED),
        (RunFacts(RunState.COMPLETED, frozenset()), WAITING, True, False, Disposition.DUPLICATE),
        (RUN, node(pending=MAX_PENDING_EVENTS), False, False, Disposition.INBOX_FULL),
    ],
)
def test_each_case_has_its_disposition(
    run: RunFacts | None, facts: NodeFacts | None, known: bool, expired: bool, expected: Disposition
) -> None:
    assert disposition_of(run, facts, "m", known=known, expired=expired) is expected
    assert expected.success is (expected in ("DELIVERED", "BUFFERED", "DUPLICATE"))


def event(**attributes: Any) -> TriggerEvent:
    given: dict[str, Any] = {"event_id": "e1", "source": "s", "type": "t", "payload": None}
    return TriggerEvent(**(given | attributes), occur_time=datetime(2026, 1, 1, tzinfo=UTC))


def test_every_fault_of_an_event_is_named() -> None:
    found = faults_of(event(event_id="", source="wakepoint/timer", priority=101))
    assert [fault.field for fault in found] == ["event.event_id", "event.source", "event.priority"]
    assert [f.field for f in faults_of(event(event_id="é" * 251, source="s" * 501))] == [
        "event.event_id",
        "event.source",
    ]
    assert faults_of(event()) == []


def test_a_node_sees_only_the_attributes_that_were_given() -> None:
    time = "2026-01-01T00:00:00+00:00"
    plain = {"event_id": "e1", "source": "s", "type": "t", "payload": None, "timestamp": time, "occur_time": time}
    assert event().as_node_sees_it() == plain
    assert event(subject="x", extensions={"a": "b"}).as_node_sees_it() == {
        **plain,
        "subject": "x",
        "extensions": {"a": "b"},
    }
