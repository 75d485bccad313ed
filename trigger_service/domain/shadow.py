"""Comparing what we would have queued with what the old system queued, run by run."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Difference:
    """One of the two systems queued a workflow and the other did not, in the time that it was given.

    `what`: the job for which we would have queued it, or the run that the old system queued.
    """

    workflow_key: str
    is_ours: bool
    what: str


@dataclass(slots=True)
class _Side:
    open: deque[tuple[float, str]] = field(default_factory=deque)


class Comparison:
    """Pairs each of our matches with one run of the old system for the same workflow, in the order of their coming.

    What has no counterpart for `patience` seconds is a difference, told once.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._ours: dict[str, _Side] = {}
        self._theirs: dict[str, _Side] = {}
        self.agreed = 0
        self.differences = 0

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits for its counterpart."""
        return not any(side.open for side in (*self._ours.values(), *self._theirs.values()))

    def ours(self, workflow_key: str, job: str, now: float) -> None:
        """We would have queued the workflow for this job. `now` in seconds, never falling."""
        self._pair(self._theirs, self._ours, workflow_key, job, now)

    def theirs(self, workflow_key: str, run: str, now: float) -> None:
        """The old system queued the workflow as this run."""
        self._pair(self._ours, self._theirs, workflow_key, run, now)

    def overdue(self, now: float, *, all_of_them: bool = False) -> list[Difference]:
        """What has waited too long for its counterpart, or everything that waits."""
        found: list[Difference] = []
        for sides, is_ours in ((self._ours, True), (self._theirs, False)):
            for key, side in sides.items():
                while side.open and (all_of_them or now - side.open[0][0] >= self._patience):
                    found.append(Difference(key, is_ours, side.open.popleft()[1]))
        self.differences += len(found)
        return found

    def _pair(self, others: dict[str, _Side], own: dict[str, _Side], key: str, what: str, now: float) -> None:
        other = others.get(key)
        if other is not None and other.open:
            other.open.popleft()
            self.agreed += 1
        else:
            own.setdefault(key, _Side()).open.append((now, what))
