"""What the holder of a run has decided and not yet committed."""

from collections.abc import Mapping, Sequence
from typing import Any

from runner_service.domain.history import Line
from runner_service.domain.listening import Listening
from runner_service.domain.projection import RunProjection, RunState, apply
from runner_service.domain.runs import ClaimedRun, NewWait, Settled
from runner_service.storage.steps import NewJob, OutboxEntry, Step


class Draft:
    """Grows line by line; each line is applied to the projection at once, so that the projection runs ahead of the
    log.
    """

    def __init__(self, projection: RunProjection) -> None:
        self._projection = projection
        self.clear()

    def clear(self) -> None:
        """Begin a new step."""
        self.lines: list[Line] = []
        self.waits: dict[str, NewWait] = {}
        self.unwaited: set[str] = set()
        self.settled: list[Settled] = []
        self.jobs: list[NewJob] = []
        self.outbox: list[OutboxEntry] = []
        self.listening: dict[str, Listening] = {}
        self.not_listening: set[str] = set()

    @property
    def empty(self) -> bool:
        return not (self.lines or self.waits or self.unwaited)

    def add(self, *lines: Line) -> None:
        """Log lines and let them take effect."""
        for line in lines:
            self.lines.append(line)
            apply(self._projection, line)

    def wait(self, wait: NewWait) -> None:
        """Write the node's wait, in place of one that may be there."""
        self.unwaited.discard(wait.node_id)
        self.waits[wait.node_id] = wait

    def unwait(self, node_id: str) -> None:
        """Take the node's wait away. What it listens to since an earlier step it listens to still."""
        self.waits.pop(node_id, None)
        self.listening.pop(node_id, None)
        self.unwaited.add(node_id)

    def listen(self, listening: Listening) -> None:
        """Register what the node listens to, together with its wait."""
        self.not_listening.discard(listening.node_id)
        self.listening[listening.node_id] = listening

    def stop_listening(self, node_id: str) -> None:
        """The node takes no more events."""
        self.listening.pop(node_id, None)
        self.not_listening.add(node_id)

    def as_step(
        self,
        run: ClaimedRun,
        number: int,
        *,
        state: RunState,
        guarded: bool,
        seen: int,
        busy: bool,
        closed_nodes: Sequence[str],
        ending: Sequence[Line] = (),
        outputs: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Step:
        """The step that commits this draft, and `ending` after it, which takes effect only by being committed."""
        return Step(
            run_id=run.run_id,
            epoch=run.epoch,
            step=number,
            state=state,
            guarded=guarded,
            seen_inbox_seq=seen,
            busy=busy,
            lines=(*self.lines, *ending),
            # A finished run waits for nothing; its rows are deleted by the same statement, which would not see these.
            waits=() if state.finished else tuple(self.waits.values()),
            unwaited=tuple(self.unwaited),
            settled=tuple(self.settled),
            closed_nodes=closed_nodes,
            suspended_node_ids=[] if state.finished else self._projection.suspended_nodes(),
            jobs=tuple(self.jobs),
            outbox=tuple(self.outbox),
            # A finished run listens to nothing: the database sees to that.
            listening=() if state.finished else tuple(self.listening.values()),
            not_listening=() if state.finished else tuple(self.not_listening),
            outputs=outputs,
            error=error,
        )
