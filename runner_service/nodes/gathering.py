"""Gathering events of several topics until enough of them are together."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, NoReturn, Self

from pydantic import Field, field_validator, model_validator

from wakepoint.nodes import Context, Kind, Node, TriggerEvent, TriggerInactivityTimeout

MAX_STATE_BYTES = 60 * 1024
"""Of the gathered events; a node's state may have 64 KiB."""

_CENTURY_SECONDS = 3_155_760_000


class Gathering(Node):
    """The base of nodes that wait for events of several topics. Only the newest event of each topic counts."""

    kind: ClassVar[Kind] = "wait"
    repeatable: ClassVar[bool] = True

    topics: list[str] = Field(min_length=1, max_length=100)
    """The topics to listen to."""
    count: int | None = Field(default=None, ge=1, le=100)
    """Of how many of them events must have come."""
    window_seconds: float | None = Field(default=None, gt=0, le=_CENTURY_SECONDS)
    """How far apart, by the time at which they occurred, the events may be; any distance unless given."""

    @field_validator("topics")
    @classmethod
    def _distinct_names(cls, topics: list[str]) -> list[str]:
        if not all(topics):
            raise ValueError("a topic must not be empty")
        if len(set(topics)) < len(topics):
            raise ValueError("must not name a topic twice")
        return topics

    @model_validator(mode="after")
    def _no_more_than_there_are(self) -> Self:
        if self.count is not None and self.count > len(self.topics):
            raise ValueError(f"count must be at most {len(self.topics)}, the number of topics")
        return self

    @abstractmethod
    def needed(self) -> int:
        """How many topics must have had an event."""

    async def process(self, context: Context) -> dict[str, Any]:
        """Take what is there; go on when that is enough, else keep it and suspend."""
        context.host.listen(self.topics)
        gathered: dict[str, TriggerEvent] = dict((await self.get_saved_state()).get("events", {}))
        while not (complete := together(gathered, self.needed(), self.window_seconds)):
            try:
                event = await context.host.wait(timeout=0, wake_time=None)
            except TriggerInactivityTimeout:
                await self._wait_for_more(gathered)
            if event.get("topic") in self.topics:
                gathered = within_window({**gathered, event["topic"]: event}, self.window_seconds)
            else:
                told = {key: event.get(key) for key in ("event_id", "source", "type")}
                reason = "it was not published to one of the topics"
                context.host.record("SuspensionUpdated", {"disregarded_event": told, "reason": reason})
        return {"events": complete, "missing": [topic for topic in self.topics if topic not in complete]}

    async def _wait_for_more(self, gathered: Mapping[str, TriggerEvent]) -> NoReturn:
        received = [topic for topic in self.topics if topic in gathered]
        metadata = {"topics": self.topics, "received": received, "needed": self.needed()}
        reason = f"Waiting for events of {self.needed()} of {len(self.topics)} topics, {len(received)} received"
        await self.suspend_workflow(reason, {"events": fitting(gathered)}, metadata)


def together(
    gathered: Mapping[str, TriggerEvent], needed: int, window_seconds: float | None
) -> dict[str, TriggerEvent]:
    """The events that are enough; empty if they are not."""
    ordered = sorted(gathered.items(), key=lambda item: _time_of(item[1]))
    if len(ordered) < needed:
        return {}
    if window_seconds is None:
        return dict(ordered)
    window = timedelta(seconds=window_seconds)
    for first in range(len(ordered) - needed, -1, -1):
        near = [item for item in ordered[first:] if _time_of(item[1]) - _time_of(ordered[first][1]) <= window]
        if len(near) >= needed:
            return dict(near)
    return {}


def within_window(gathered: Mapping[str, TriggerEvent], window_seconds: float | None) -> dict[str, TriggerEvent]:
    """Without the events that are too old ever to be together with later ones."""
    if window_seconds is None or not gathered:
        return dict(gathered)
    newest = max(_time_of(event) for event in gathered.values())
    oldest = newest - timedelta(seconds=window_seconds)
    return {topic: event for topic, event in gathered.items() if _time_of(event) >= oldest}


def fitting(gathered: Mapping[str, TriggerEvent]) -> dict[str, TriggerEvent]:
    """The events as a suspension can keep them: where they are too large together, the largest lose their content, and
    tell how many bytes it had.
    """
    kept = {topic: dict(event) for topic, event in gathered.items()}
    sizes = {topic: _bytes_of(event) for topic, event in kept.items()}
    while sum(sizes.values()) > MAX_STATE_BYTES:
        largest = max(sizes, key=lambda topic: sizes[topic])
        kept[largest] = _without_content(kept[largest])
        smaller = _bytes_of(kept[largest])
        if smaller >= sizes[largest]:
            break
        sizes[largest] = smaller
    return kept


def _without_content(event: TriggerEvent) -> TriggerEvent:
    named = ("event_id", "source", "type", "timestamp", "occur_time", "topic")
    bare = {name: event[name] for name in named if name in event}
    return {**bare, "type": str(event.get("type", ""))[:200], "payload": None, "payload_omitted": _bytes_of(event)}


def _time_of(event: TriggerEvent) -> datetime:
    return datetime.fromisoformat(event["occur_time"])


def _bytes_of(event: Mapping[str, Any]) -> int:
    return len(json.dumps(event, ensure_ascii=False).encode())
