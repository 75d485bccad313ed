"""How a node ends other than by returning: it fails, it times out, or it gives its place up until an event comes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any


class NodeError(Exception):
    """The node failed for a reason its author foresaw; the message goes into the log as it is.

    `retryable=False` ends the node at once, whatever its retry policy allows.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class TriggerInactivityTimeout(Exception):
    """No trigger event came within the time the node was ready to wait in memory."""


class NodeSuspended(BaseException):
    """Unwinds a node's frame when the run is to wait in the database instead of in memory.

    It derives from BaseException so that an author's `except Exception` cannot swallow a suspension.
    """

    def __init__(
        self,
        reason: str,
        state: Mapping[str, Any],
        metadata: Mapping[str, Any],
        wake_time: datetime | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.state = dict(state)
        self.metadata = dict(metadata)
        self.wake_time = wake_time
