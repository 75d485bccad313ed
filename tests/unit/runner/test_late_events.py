"""What the holder of a run gives to its nodes."""

from datetime import datetime, timedelta

from runner_service.domain.runs import EXPIRY_SOURCE, InboxEvent
from runner_service.usecases.execution.inbox import LocalInbox
from wakepoint.chassis.clock import ManualClock


def event(seq: int, *, source: str = "test", expire_time: datetime | None = None) -> InboxEvent:
    return InboxEvent(seq, "n", source, f"e{seq}", {"event_id": f"e{seq}"}, expire_time)


async def test_an_event_whose_time_is_over_is_passed_over_and_told_once(manual_clock: ManualClock) -> None:
    soon = manual_clock.now() + timedelta(seconds=10)
    inbox = LocalInbox([event(1, expire_time=soon), event(2)], 2, manual_clock.now)
    first = inbox.peek("n")
    assert first is not None
    assert first.inbox_seq == 1, "its time is not over yet"
    await manual_clock.advance(10)
    assert inbox.take("n") == event(2)
    assert inbox.late() == [event(1, expire_time=soon)]
    assert inbox.late() == []


def test_the_end_of_a_wait_is_no_event_for_a_node_but_is_still_pending() -> None:
    inbox = LocalInbox([event(1, source=EXPIRY_SOURCE)], 1)
    assert not inbox.has("n")
    assert inbox.addressed() == set()
    assert inbox.remaining("n") == inbox.remaining() == inbox.expiries() == [event(1, source=EXPIRY_SOURCE)]
    inbox.drop(event(1, source=EXPIRY_SOURCE))
    assert inbox.remaining() == []
