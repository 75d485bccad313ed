"""The one table from our errors to gRPC and HTTP, and `google.rpc.Status` with its details, both ways."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from wakepoint.chassis import errors

DOMAIN: Final = "wakepoint"

# The most derived classes need no row of their own: a class without one takes its base's.
_TABLE: Final[dict[type[errors.WakepointError], tuple[grpc.StatusCode, int]]] = {
    errors.InvalidArgument: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.Unauthenticated: (grpc.StatusCode.UNAUTHENTICATED, 401),
    errors.PermissionDenied: (grpc.StatusCode.PERMISSION_DENIED, 403),
    errors.NotFound: (grpc.StatusCode.NOT_FOUND, 404),
    errors.AlreadyExists: (grpc.StatusCode.ALREADY_EXISTS, 409),
    errors.Aborted: (grpc.StatusCode.ABORTED, 409),
    errors.FailedPrecondition: (grpc.StatusCode.FAILED_PRECONDITION, 400),
    errors.ResourceExhausted: (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    errors.Unimplemented: (grpc.StatusCode.UNIMPLEMENTED, 501),
    errors.Unavailable: (grpc.StatusCode.UNAVAILABLE, 503),
}
_CLASSES: Final = {code: kind for kind, (code, _) in _TABLE.items()}
_INTERNAL: Final = (grpc.StatusCode.INTERNAL, 500)
# No error of ours has these: a call ends with them by itself.
_HTTP_OF_CODES: Final = {code.value[0]: http for code, http in _TABLE.values()} | {
    grpc.StatusCode.CANCELLED.value[0]: 499,
    grpc.StatusCode.DEADLINE_EXCEEDED.value[0]: 504,
}


def code_of(error: BaseException) -> grpc.StatusCode:
    """The gRPC code for an error; INTERNAL for everything outside the taxonomy."""
    return _row(error)[0]


def http_status_of(error: BaseException) -> int:
    """The HTTP status for an error; 500 for everything outside the taxonomy."""
    return _row(error)[1]


def http_status_of_code(code: int) -> int:
    """The HTTP status for a gRPC code; 500 for one that nobody here answers with."""
    return _HTTP_OF_CODES.get(code, 500)


def to_status(error: BaseException) -> Status:
    """The error with ErrorInfo, and BadRequest or RetryInfo where it has them. Strangers become a bare INTERNAL."""
    if not isinstance(error, errors.WakepointError) or code_of(error) is grpc.StatusCode.INTERNAL:
        return Status(code=grpc.StatusCode.INTERNAL.value[0], message="internal error")
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata))]
    if isinstance(error, errors.InvalidArgument) and error.violations:
        details.append(_bad_request(error.violations))
    if isinstance(error, errors.ResourceExhausted):
        retry = RetryInfo()
        retry.retry_delay.FromTimedelta(error.retry_after)
        details.append(retry)
    status = Status(code=code_of(error).value[0], message=error.message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def from_status(status: Status) -> errors.WakepointError | None:
    """The error behind a peer's status. None for codes outside the taxonomy, which no caller can act on."""
    kind = next((kind for code, kind in _CLASSES.items() if code.value[0] == status.code), None)
    if kind is None:
        return None
    info, bad_request, retry = (
        ErrorInfo(),
        BadRequest(),
        RetryInfo(),
    )
    for detail in status.details:
        _unpack(detail, info, bad_request, retry)
    error = kind(status.message, reason=info.reason)
    error.metadata = dict(info.metadata)
    if isinstance(error, errors.InvalidArgument):
        error.violations = tuple(
            errors.FieldViolation(item.field, item.description) for item in bad_request.field_violations
        )
    if isinstance(error, errors.ResourceExhausted) and retry.HasField("retry_delay"):
        error.retry_after = max(timedelta(0), retry.retry_delay.ToTimedelta())
    return error


def _row(error: BaseException) -> tuple[grpc.StatusCode, int]:
    for kind in type(error).__mro__:
        if (row := _TABLE.get(kind)) is not None:
            return row
    return _INTERNAL


def _bad_request(violations: tuple[errors.FieldViolation, ...]) -> BadRequest:
    return BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=item.field, description=item.description) for item in violations
        ]
    )


def _unpack(detail: AnyMessage, *targets: Message) -> None:
    for target in targets:
        try:
            if detail.Unpack(target):
                return
        except DecodeError:
            # A peer's broken detail must not hide its status.
            return
