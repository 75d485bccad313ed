"""How failed calls look to callers: the exceptions of `wakepoint.chassis.errors`, and two that only clients meet."""

from __future__ import annotations

import grpc
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from wakepoint.chassis.errors import Unavailable, WakepointError
from wakepoint.chassis.status import from_status


class DeadlineExceeded(WakepointError):
    """No answer came in time. What was asked for may have been done all the same."""

    default_reason = "DEADLINE_EXCEEDED"


class ServiceFailure(WakepointError):
    """The service failed in a way that it did not foresee, or answered what this client does not understand."""

    default_reason = "INTERNAL"


def error_of(failure: grpc.RpcError) -> WakepointError:
    """The exception for a failed call, with the service's `reason`, `metadata` and, for bad input, `violations`.

    For callers of the generated stubs; the verbs of `Client` raise it themselves.
    """
    # What a call raises is always a grpc.Call as well, which the type of the exception does not say.
    assert isinstance(failure, grpc.aio.AioRpcError | grpc.Call)
    code, message = failure.code(), failure.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(message)
    if code is grpc.StatusCode.CANCELLED:
        # Who cancels a call here gets CancelledError instead: this came from a service that is going down.
        return Unavailable(message)
    known = from_status(_status_of(failure) or Status(code=code.value[0], message=message))
    return known or ServiceFailure(f"{code.name}: {message}", reason=code.name)


def _status_of(failure: grpc.aio.AioRpcError | grpc.Call) -> Status | None:
    try:
        # An AioRpcError is no Call, but answers the questions asked here in the same way.
        status: Status | None = rpc_status.from_call(failure)  # type: ignore[arg-type]
    except ValueError:
        return None  # details that contradict the code: something between us and the service made them up
    return status
