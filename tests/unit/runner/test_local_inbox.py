"""The inbox as the holder of a run knows it, against a model of what must come out."""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runner_service.domain.runs import InboxEvent
from runner_service.usecases.execution.inbox import LocalInbox

NODES = st.sampled_from(["a", "b"])


def event(seq: int, node_id: str) -> InboxEvent:
    return InboxEvent(seq, node_id, "test", f"e{seq}", {})


class Inboxes(RuleBasedStateMachine):
    """Events come, are taken, used up, put back or dropped; what is pending is always there in order."""

    def __init__(self) -> None:
        super().__init__()
        self.inbox = LocalInbox([], 0)
        self.last = 0
        self.unread: list[InboxEvent] = []
        self.pending: dict[str, deque[InboxEvent]] = {"a": deque(), "b": deque()}
        self.taken: dict[str, list[InboxEvent]] = {"a": [], "b": []}

    @rule(node_id=NODES)
    def arrive(self, node_id: str) -> None:
        self.last += 1
        self.unread.append(event(self.last, node_id))

    @rule()
    def read(self) -> None:
        # The database answers with everything pending beyond what was seen, and perhaps with what was seen already.
        known = [*self.pending["a"], *self.pending["b"], *self.taken["a"], *self.taken["b"]]
        self.inbox.extend([*known, *self.unread], self.last)
        for one in self.unread:
            self.pending[one.node_id].append(one)
        self.unread = []
        assert self.inbox.seen == self.last

    @rule(node_id=NODES)
    def take(self, node_id: str) -> None:
        expected = self.pending[node_id].popleft() if self.pending[node_id] else None
        assert self.inbox.take(node_id) == expected
        if expected is not None:
            self.taken[node_id].append(expected)

    @rule(node_id=NODES)
    def put_back(self, node_id: str) -> None:
        self.inbox.put_back(node_id, self.taken[node_id])
        self.pending[node_id].extendleft(reversed(self.taken[node_id]))
        self.taken[node_id] = []

    @rule(node_id=NODES)
    def use_up(self, node_id: str) -> None:
        self.taken[node_id] = []

    @rule(node_id=NODES)
    def drop_all(self, node_id: str) -> None:
        for one in self.inbox.remaining(node_id):
            self.inbox.drop(one)
        self.pending[node_id].clear()

    @invariant()
    def what_is_pending_is_there_in_order(self) -> None:
        for node_id, queue in self.pending.items():
            assert self.inbox.has(node_id) == bool(queue)
            assert self.inbox.remaining(node_id) == list(queue)
        together = [one for queue in self.pending.values() for one in queue]
        assert self.inbox.remaining() == sorted(together, key=lambda one: one.inbox_seq)


TestInboxes = Inboxes.TestCase
TestInboxes.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
