"""What can go wrong when the embedded server starts; each message says what to do about it."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded server, or a guarded process, could not be started or stopped."""


class AlreadyRunning(EmbeddedError):
    """Another process runs a server on this data directory."""
