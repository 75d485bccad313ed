"""The events of one run as its holder knows them: pending ones in order, and those its nodes have taken."""

from collections import defaultdict, deque
from collections.abc import Iterable

from runner_service.domain.runs import InboxEvent


class LocalInbox:
    """A view on the database's inbox up to `seen`; taking an event changes nothing there."""

    def __init__(self, pending: Iterable[InboxEvent], seen: int) -> None:
        self._pending: dict[str, deque[InboxEvent]] = defaultdict(deque)
        self.seen = seen
        self._add(pending)

    def extend(self, newer: Iterable[InboxEvent], last_inbox_seq: int) -> None:
        """Add what came after `seen`."""
        newer = [event for event in newer if event.inbox_seq > self.seen]
        self._add(newer)
        self.seen = max([self.seen, last_inbox_seq, *(event.inbox_seq for event in newer)])

    def has(self, node_id: str) -> bool:
        """Whether an event waits for the node."""
        return bool(self._pending.get(node_id))

    def take(self, node_id: str) -> InboxEvent | None:
        """The node's oldest event."""
        queue = self._pending.get(node_id)
        return queue.popleft() if queue else None

    def peek(self, node_id: str) -> InboxEvent | None:
        """The node's oldest event, left where it is."""
        queue = self._pending.get(node_id)
        return queue[0] if queue else None

    def drop(self, event: InboxEvent) -> None:
        """The event will not be taken any more."""
        self._pending[event.node_id].remove(event)

    def put_back(self, node_id: str, events: Iterable[InboxEvent]) -> None:
        """What was taken but not consumed goes back to the front, in its order."""
        self._pending[node_id].extendleft(reversed(list(events)))

    def remaining(self, node_id: str | None = None) -> list[InboxEvent]:
        """What is still pending, for one node or for all."""
        queues = self._pending.values() if node_id is None else [self._pending.get(node_id, deque())]
        return sorted((event for queue in queues for event in queue), key=lambda event: event.inbox_seq)

    def _add(self, events: Iterable[InboxEvent]) -> None:
        for event in events:
            self._pending[event.node_id].append(event)
