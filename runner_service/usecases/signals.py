"""What a committed change tells the replicas: where to look now. Losing a signal costs time, never a wake-up."""

from collections.abc import Iterable
from typing import Protocol


class Signals(Protocol):
    """Called after a commit, never before; must not block."""

    def runs_ready(self) -> None:
        """A run can be claimed."""
        ...

    def inbox_changed(self, run_ids: Iterable[str]) -> None:
        """Runs that a replica holds have got trigger events."""
        ...

    def run_cancelled(self, run_id: str) -> None:
        """Whoever holds the run is to kill its tasks, and its jobs are to be stopped."""
        ...

    def log_grew(self, run_id: str) -> None:
        """A run's log has new lines."""
        ...

    def jobs_changed(self) -> None:
        """A job was submitted, or is to be stopped."""
        ...

    def outbox_grew(self) -> None:
        """There is something to tell trigger_service."""
        ...

    def fan_out_grew(self) -> None:
        """A published event is to be put into inboxes."""
        ...

    def run_ended(self) -> None:
        """A run has ended; others may have waited for that."""
        ...

    def timers_changed(self) -> None:
        """A wait has got a time."""
        ...
