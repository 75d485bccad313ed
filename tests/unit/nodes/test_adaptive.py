"""The inactivity timeout that follows the intervals between events."""

from datetime import timedelta

import pytest

from tests.support.node_host import NodeLife
from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import TriggerNode
from wakepoint.nodes.adaptive import Rhythm, choose_timeout


@pytest.mark.parametrize(
    ("intervals", "seconds"),
    [
        ([], 300),
        ([60, 60], 300),
        ([60, 60, 60], 90),
        ([1, 1, 1], 10),
        ([2400, 2400, 2400], 3600),
        ([2401, 2401, 2401], 10),
        ([1] * 19 + [10_000], 10),
        ([60] * 17 + [200] * 3, 300),
    ],
)
def test_the_timeout_follows_what_nine_of_ten_intervals_took_within_bounds(
    intervals: list[float], seconds: float
) -> None:
    assert choose_timeout(intervals, 300).seconds == seconds


def test_a_rhythm_survives_as_json_and_a_clock_that_jumps_back(manual_clock: ManualClock) -> None:
    rhythm = Rhythm.of(None)
    begin = manual_clock.now()
    for seconds in (0, 10, 5, 25):
        rhythm.event_came(begin + timedelta(seconds=seconds))
    assert Rhythm.of(rhythm.as_mapping()) == rhythm
    assert rhythm.intervals == [10, 0, 20]
    for number in range(50):
        rhythm.event_came(begin + timedelta(seconds=100 + number))
    assert len(rhythm.intervals) == 20


async def test_a_trigger_adapts_from_activation_to_activation_and_tells_why(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: TriggerNode(max_events=0, adaptive_timeout=True))
    for number in range(5):
        life.host.deliver(f"e{number}", None)
        await life.complete()
        await manual_clock.advance(60)
    assert isinstance(life.node, TriggerNode)
    assert life.node.get_inactivity_timeout() == 90
    told = life.host.recorded("SuspensionUpdated")
    assert [line["inactivity_timeout_seconds"] for line in told] == [90]
    assert told[0]["reason"] == "adaptive timeout: nine of ten of the last 3 intervals took at most 60s"


async def test_what_an_author_carries_is_not_touched(manual_clock: ManualClock) -> None:
    class Counting(TriggerNode):
        async def on_event(self, event: object, context: object) -> int:
            number: int = self.context.carried.get("number", 0) + 1
            self.carry({"number": number})
            return number

    life = NodeLife(manual_clock, lambda: Counting(max_events=0, adaptive_timeout=True))
    for number in range(3):
        life.host.deliver(f"e{number}", None)
    assert await life.complete(3) == [1, 2, 3]
