"""Keeps a run that goes on for ever as small as it was at its beginning, in memory and in its log."""

import structlog

from runner_service.domain.compaction import prune, size_of
from runner_service.usecases.compact_log import compact_log
from runner_service.usecases.execution.held import HeldRun
from wakepoint.chassis.errors import WakepointError

_log = structlog.stdlib.get_logger(__name__)

SLACK = 64
"""Records that may gather before it is looked through what of them is over: looking costs as much as there are."""


class Forgetting:
    """Of one held run. `compact_after`: passages of triggers after which the log is compacted."""

    def __init__(self, held: HeldRun) -> None:
        self._held = held
        self._compact_after = held.environment.compact_after
        self._in_log = prune(held.plan, held.projection)
        self._look_at = self._next_look()

    def forget_what_is_over(self) -> None:
        """Drop records of activations that are over; cheap while there is little to drop."""
        held = self._held
        if size_of(held.projection) >= self._look_at:
            self._in_log += prune(held.plan, held.projection)
            self._look_at = self._next_look()

    async def compact_when_due(self) -> None:
        """Compact the log if enough has gathered. A database that does not do it now is asked again later."""
        held = self._held
        if self._in_log < self._compact_after:
            return
        # Counted anew in any case: what fails is tried again after as many activations, and not with each step.
        self._in_log = 0
        try:
            if await compact_log(held.environment.database, held.plan, held.run_id, held.claimed.epoch):
                held.environment.signals.log_grew(held.run_id)
        except WakepointError as error:
            _log.warning("a log could not be compacted", run_id=held.run_id, error=error.message)

    def _next_look(self) -> int:
        return 2 * size_of(self._held.projection) + SLACK
