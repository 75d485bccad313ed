"""What can be said of a job."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """A job's status, in the words of those who report it."""

    QUEUED = "QUEUED"
    LAUNCHING = "LAUNCHING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    CANCELLED = "CANCELLED"
    UNAUTHORIZED = "UNAUTHORIZED"
    DELETED = "DELETED"


UNFINISHED = frozenset({JobStatus.QUEUED, JobStatus.LAUNCHING, JobStatus.RUNNING})
"""The job goes on after these; a report of one that comes late never takes a finished job back."""

ALL = tuple(status.value for status in JobStatus)
