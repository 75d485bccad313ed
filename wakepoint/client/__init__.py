"""Talking to Wakepoint from Python: `Client` for asyncio, `report_job` for a script that trains something.

Failed calls raise the exceptions below, each with `message`, `reason`, `metadata` and, for InvalidArgument,
`violations`.
"""

from wakepoint.chassis.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    WakepointError,
)
from wakepoint.client.client import Client
from wakepoint.client.failures import DeadlineExceeded, ServiceFailure, error_of
from wakepoint.client.jobs import Job, report_job
from wakepoint.client.values import GraphLike, TriggersLike, to_python

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Client",
    "DeadlineExceeded",
    "FailedPrecondition",
    "FieldViolation",
    "GraphLike",
    "InvalidArgument",
    "Job",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "ServiceFailure",
    "TriggersLike",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "WakepointError",
    "error_of",
    "report_job",
    "to_python",
]
