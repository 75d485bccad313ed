"""The events of one run as its holder knows them: pending ones in order, and those its nodes have taken."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import datetime

from runner_service.domain.runs import EXPIRY_SOURCE, InboxEvent


class LocalInbox:
    """A view on the database's inbox up to `seen`; taking an event changes nothing there.

    What says that a wait is over is kept apart: no node takes it. An event whose time is over by `now` is not given to
    a node any more, but to whoever asks for `late`.
    """

    def __init__(self, pending: Iterable[InboxEvent], seen: int, now: Callable[[], datetime] | None = None) -> None:
        self._pending: dict[str, deque[InboxEvent]] = defaultdict(deque)
        self._expiries: dict[str, deque[InboxEvent]] = defaultdict(deque)
        self._late: list[InboxEvent] = []
        self._now = now
        self.seen = seen
        self._add(pending)

    def extend(self, newer: Iterable[InboxEvent], last_inbox_seq: int) -> None:
        """Add what came after `seen`."""
        newer = [event for event in newer if event.inbox_seq > self.seen]
        self._add(newer)
        self.seen = max([self.seen, last_inbox_seq, *(event.inbox_seq for event in newer)])

    def has(self, node_id: str) -> bool:
        """Whether an event waits for the node."""
        return self._fresh(node_id) is not None

    def take(self, node_id: str) -> InboxEvent | None:
        """The node's oldest event."""
        queue = self._fresh(node_id)
        return None if queue is None else queue.popleft()

    def peek(self, node_id: str) -> InboxEvent | None:
        """The node's oldest event, left where it is."""
        queue = self._fresh(node_id)
        return None if queue is None else queue[0]

    def drop(self, event: InboxEvent) -> None:
        """The event will not be taken any more."""
        (self._expiries if event.source == EXPIRY_SOURCE else self._pending)[event.node_id].remove(event)

    def put_back(self, node_id: str, events: Iterable[InboxEvent]) -> None:
        """What was taken but not consumed goes back to the front, in its order."""
        self._pending[node_id].extendleft(reversed(list(events)))

    def remaining(self, node_id: str | None = None) -> list[InboxEvent]:
        """What is still pending, for one node or for all."""
        both = (self._pending, self._expiries)
        named = [{node_id} if node_id is not None else set(queues) for queues in both]
        found = [event for queues, names in zip(both, named, strict=True) for n in names for event in queues.get(n, ())]
        return sorted(found, key=lambda event: event.inbox_seq)

    def addressed(self) -> set[str]:
        """The nodes for which an event waits."""
        return {node_id for node_id in list(self._pending) if self.has(node_id)}

    def expiries(self) -> list[InboxEvent]:
        """What says that waits are over."""
        return [event for queue in self._expiries.values() for event in queue]

    def late(self) -> list[InboxEvent]:
        """Events that came too late for their nodes; each is answered once."""
        late, self._late = self._late, []
        return late

    def _fresh(self, node_id: str) -> deque[InboxEvent] | None:
        """The node's events without those that are late at its front; None: there are none."""
        queue = self._pending.get(node_id)
        while queue and self._is_late(queue[0]):
            self._late.append(queue.popleft())
        return queue or None

    def _is_late(self, event: InboxEvent) -> bool:
        return event.expire_time is not None and self._now is not None and event.expire_time <= self._now()

    def _add(self, events: Iterable[InboxEvent]) -> None:
        for event in events:
            (self._expiries if event.source == EXPIRY_SOURCE else self._pending)[event.node_id].append(event)
