"""How calls are answered over HTTP, errors above all."""

from __future__ import annotations

import math
from collections.abc import Mapping

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from starlette.responses import Response

from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.status import http_status_of, http_status_of_code, to_status
from wakepoint.chassis.transcoder.writing import as_json, json_of, plain

JSON = "application/json"


class Refusal(Exception):
    """HTTP itself says no: an error of ours with the HTTP status that fits better than that of its kind."""

    def __init__(self, error: WakepointError, http_status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.http_status = http_status
        self.headers = headers or {}


async def answer(message: Message, field: str = "") -> Response:
    """The message, or one field of it; its etag is the answer's."""
    etag = getattr(message, "etag", "") if "etag" in message.DESCRIPTOR.fields_by_name else ""
    headers = {"ETag": etag} if etag else None
    return Response(await json_of(message, field), media_type=JSON, headers=headers)


def refused(error: WakepointError | Refusal) -> Response:
    """An error that no method has said."""
    if isinstance(error, Refusal):
        return failure(to_status(error.error), error.http_status, error.headers)
    return failure(to_status(error), http_status_of(error))


def failure(status: Status, http_status: int | None = None, headers: Mapping[str, str] | None = None) -> Response:
    """A `google.rpc.Status` as JSON, with the HTTP status of its code unless another one is told."""
    chosen = http_status_of_code(status.code) if http_status is None else http_status
    told = {**_headers(status), **(headers or {})}
    return Response(as_json(plain(status)), chosen, told, JSON)


def _headers(status: Status) -> dict[str, str]:
    for detail in status.details:
        retry = RetryInfo()
        if detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(retry):
            return {"Retry-After": str(max(1, math.ceil(retry.retry_delay.ToTimedelta().total_seconds())))}
    if status.code == grpc.StatusCode.UNAVAILABLE.value[0]:
        return {"Retry-After": "1"}
    if status.code == grpc.StatusCode.UNAUTHENTICATED.value[0]:
        return {"WWW-Authenticate": "Bearer"}
    return {}
