"""Nodes that listen, publish and gather, each on its own."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from runner_service.nodes.gathering import Gathering, fitting, together, within_window
from runner_service.nodes.job_completed import JobCompleted
from runner_service.nodes.publish_event import PublishEvent
from runner_service.nodes.topic import Topic
from runner_service.nodes.wait_for_all import WaitForAll
from runner_service.nodes.wait_for_any import WaitForAny
from tests.support.node_host import Completed, NodeLife, Suspended
from wakepoint.chassis.clock import ManualClock


def event(topic: str, second: int, payload: Any = None) -> dict[str, Any]:
    return {
        "event_id": f"{topic}-{second}",
        "source": "test",
        "type": "test",
        "topic": topic,
        "payload": payload,
        "occur_time": f"2026-01-01T00:00:{second:02}+00:00",
    }


def gathered(**seconds: int) -> dict[str, dict[str, Any]]:
    return {topic: event(topic, second) for topic, second in seconds.items()}


@pytest.mark.parametrize(
    ("seconds", "needed", "window", "found"),
    [
        ({}, 1, None, set()),
        ({"a": 0}, 2, None, set()),
        ({"a": 0, "b": 59}, 2, None, {"a", "b"}),
        ({"a": 0, "b": 11}, 2, 10, set()),
        ({"a": 0, "b": 10}, 2, 10, {"a", "b"}),
        ({"a": 0, "b": 20, "c": 25}, 2, 10, {"b", "c"}),
        ({"a": 0, "b": 5, "c": 40}, 2, 10, {"a", "b"}),
        ({"a": 0, "b": 8, "c": 16}, 3, 10, set()),
    ],
)
def test_events_are_together_when_enough_of_them_are_near_each_other(
    seconds: dict[str, int], needed: int, window: float | None, found: set[str]
) -> None:
    assert set(together(gathered(**seconds), needed, window)) == found


def test_what_is_older_than_the_window_is_dropped() -> None:
    assert set(within_window(gathered(a=0, b=30, c=35), 10)) == {"b", "c"}
    assert set(within_window(gathered(a=0, c=35), None)) == {"a", "c"}


def test_events_too_large_for_a_state_lose_their_content_the_largest_first() -> None:
    events = {
        "small": event("small", 1, "x" * 1_000),
        "large": event("large", 2, "x" * 500_000),
        "medium": event("medium", 3, "x" * 40_000),
    }
    kept = fitting(events)
    assert kept["small"] == events["small"]
    assert kept["medium"] == events["medium"]
    assert kept["large"]["payload"] is None
    assert kept["large"]["payload_omitted"] > 500_000
    assert kept["large"]["event_id"] == "large-2"


def test_events_of_a_hundred_topics_fit_into_a_state() -> None:
    topics = [f"{number:050}" for number in range(100)]
    kept = fitting({topic: event(topic, 1, "x" * 10_000) for topic in topics})
    assert len(json.dumps({"events": kept})) <= 64 * 1024
    assert list(kept) == topics


async def test_wait_for_all_suspends_with_what_it_has_and_goes_on_with_the_rest(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: WaitForAll(topics=["a", "b"]))
    first = await life.passage()
    assert isinstance(first, Suspended)
    assert first.reason == "Waiting for events of 2 of 2 topics, 0 received"
    life.host.deliver_published("b", "e1", 1)
    life.host.deliver("e2", "not published")
    second = await life.passage()
    assert isinstance(second, Suspended)
    assert second.metadata == {"topics": ["a", "b"], "received": ["b"], "needed": 2}
    assert [told["disregarded_event"]["event_id"] for told in life.host.recorded("SuspensionUpdated")] == ["e2"]
    life.host.deliver_published("a", "e3", 3)
    done = await life.passage()
    assert isinstance(done, Completed)
    assert {topic: one["payload"] for topic, one in done.output["events"].items()} == {"a": 3, "b": 1}
    assert life.host.listening == [(["a", "b"], None)] * 3


async def test_the_newest_event_of_a_topic_counts(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: WaitForAll(topics=["a", "b"]))
    for event_id, topic in (("1", "a"), ("2", "a"), ("3", "b")):
        life.host.deliver_published(topic, event_id, event_id)
    done = await life.passage()
    assert isinstance(done, Completed)
    assert done.output["events"]["a"]["payload"] == "2"


async def test_events_further_apart_than_the_window_are_forgotten(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: WaitForAny(topics=["a", "b", "c"], count=2, window_seconds=10))
    life.host.deliver_published("a", "1", 1)
    await life.passage()
    await manual_clock.advance(11)
    life.host.deliver_published("b", "2", 2)
    waiting = await life.passage()
    assert isinstance(waiting, Suspended)
    assert list(waiting.state["events"]) == ["b"]
    await manual_clock.advance(10)
    life.host.deliver_published("a", "3", 3)
    done = await life.passage()
    assert isinstance(done, Completed)
    assert (set(done.output["events"]), done.output["missing"]) == ({"a", "b"}, ["c"])


@pytest.mark.parametrize("node_class", [WaitForAll, WaitForAny])
@pytest.mark.parametrize(
    "properties", [{"topics": []}, {"topics": ["a", "a"]}, {"topics": [""]}, {"topics": ["a"], "count": 2}]
)
def test_topics_that_make_no_sense_are_refused(node_class: type[Gathering], properties: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        node_class(**properties)


async def test_a_topic_listens_before_it_waits(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: Topic(topic="t", inactivity_timeout_seconds=0))
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.state["topic"] == "t"
    assert life.host.listening == [(["t"], None)]


async def test_job_completed_hands_its_filter_over(manual_clock: ManualClock) -> None:
    properties = {"job_types": ["TRAIN"], "condition": "job.attempt == 1", "inactivity_timeout_seconds": 0}
    life = NodeLife(manual_clock, lambda: JobCompleted(**properties))
    assert isinstance(await life.passage(), Suspended)
    ((topics, jobs),) = life.host.listening
    assert topics == []
    assert jobs == {
        "experiment_id": "",
        "since": None,
        "job_types": ["TRAIN"],
        "statuses": ["COMPLETE"],
        "job_name_pattern": "",
        "condition": "job.attempt == 1",
    }


@pytest.mark.parametrize(
    ("properties", "payload"), [({}, {"from": "input"}), ({"payload": None}, None), ({"payload": [1]}, [1])]
)
async def test_publish_event_publishes_under_its_idempotency_key(
    manual_clock: ManualClock, properties: dict[str, Any], payload: Any
) -> None:
    life = NodeLife(manual_clock, lambda: PublishEvent(topic="t", **properties), inputs={"input": {"from": "input"}})
    done = await life.passage()
    assert isinstance(done, Completed)
    assert life.host.published == [("t", {"event_id": "run-1:node:1", "payload": payload})]
    assert done.output == {"topic": "t", "event_id": "run-1:node:1", "woken_count": 0}
