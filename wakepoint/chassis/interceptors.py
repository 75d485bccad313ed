"""What happens around every RPC, once: errors become statuses, calls are measured, logged and given a trace id."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias
from urllib.parse import quote

import grpc
import structlog
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from wakepoint.chassis.clock import Clock, SystemClock
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.status import DOMAIN, code_of, to_status

_log = structlog.stdlib.get_logger(__name__)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

# A status travels in HTTP/2 headers, and common clients refuse more than 8 KiB of those: what is larger would reach the
# caller as RESOURCE_EXHAUSTED instead of what it says.
_MESSAGE_BYTES = 3_000
_DETAILS_BYTES = 3_300

if TYPE_CHECKING:
    _Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    _Interceptor = grpc.aio.ServerInterceptor


class ServerInterceptor(_Interceptor):
    """Wraps handlers of all four kinds (unary or streaming, either way).

    A WakepointError becomes its status with details; anything else is logged with its traceback and answers INTERNAL
    with nothing but the trace id. A handler that aborts by itself, and cancellation, pass unchanged. The trace id is
    that of the caller's `traceparent`, or a new one; it is on every log line that the handler writes. Handlers are
    coroutine functions or asynchronous generators.
    """

    def __init__(self, metrics: Metrics, clock: Clock | None = None) -> None:
        self._metrics = metrics
        self._clock = clock or SystemClock()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """GRPC's hook: the handler to use instead of the one found; None for an unknown method stays None."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        call = _Call(self._metrics, self._clock, handler_call_details.method)
        kinds: dict[tuple[bool, bool], tuple[str, Callable[..., Any], Callable[[Any], Any]]] = {
            (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler, call.unary),
            (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler, call.stream),
            (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler, call.unary),
            (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler, call.stream),
        }
        name, make, around = kinds[handler.request_streaming, handler.response_streaming]
        return make(around(getattr(handler, name)), handler.request_deserializer, handler.response_serializer)


class _Call:
    """What the wrappers need to know about the method that they stand around."""

    def __init__(self, metrics: Metrics, clock: Clock, path: str) -> None:
        self._metrics = metrics
        self._clock = clock
        self._service, _, self._method = path.lstrip("/").rpartition("/")

    def unary(self, behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
        async def answer(request: Any, context: Context) -> Any:
            with self._watched(context) as trace:
                try:
                    return await behaviour(request, context)
                except Exception as error:  # noqa: BLE001 - the last floor: whatever it is, it is answered
                    await _abort(context, error, trace)

        return answer

    def stream(self, behaviour: Callable[[Any, Context], Any]) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def answers(request: Any, context: Context) -> AsyncIterator[Any]:
            with self._watched(context) as trace:
                try:
                    result = behaviour(request, context)
                    if hasattr(result, "__aiter__"):
                        async with contextlib.aclosing(result):
                            async for message in result:
                                yield message
                    else:
                        await result  # a coroutine that writes to the context by itself
                except Exception as error:  # noqa: BLE001 - the last floor: whatever it is, it is answered
                    await _abort(context, error, trace)

        return answers

    @contextlib.contextmanager
    def _watched(self, context: Context) -> Iterator[str]:
        trace = trace_id(context)
        began = self._clock.monotonic()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(trace_id=trace, rpc=self._method)
        self._metrics.rpc_began(self._service, self._method)
        code = "UNKNOWN"
        try:
            yield trace
            code = _code_name(context)
        except (asyncio.CancelledError, GeneratorExit):
            code = "CANCELLED"
            raise
        except BaseException:
            code = _code_name(context)
            raise
        finally:
            seconds = self._clock.monotonic() - began
            self._metrics.rpc_ended(self._service, self._method, code, seconds)
            _log.debug("rpc answered", code=code, milliseconds=round(seconds * 1000, 2))


def trace_id(context: Context) -> str:
    """The W3C trace id of the caller (32 hexadecimal digits), or a new one when it sent none that is valid."""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(value, str) and (found := _TRACEPARENT.fullmatch(value)):
            return found.group(1)
    return secrets.token_hex(16)


def _code_name(context: Context) -> str:
    code: object = context.code()  # a number when the handler set one, None or 0 when it did not
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((known.name for known in grpc.StatusCode if known.value[0] == (code or 0)), "UNKNOWN")


async def _abort(context: Context, error: Exception, trace: str) -> NoReturn:
    """End the call with the error's status. Raises, always."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, WakepointError) and code_of(error) is not grpc.StatusCode.INTERNAL:
        status = fitting(to_status(error))
        code = code_of(error)
    else:
        _log.error("unexpected error in an rpc", exc_info=error)
        code = grpc.StatusCode.INTERNAL
        status = Status(code=code.value[0], message=f"internal error (trace id {trace})")
        status.details.add().Pack(ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"trace_id": trace}))
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, status.message, trailing_metadata=metadata)


def fitting(status: Status) -> Status:
    """The status, shortened where it would not fit into a response's headers; what was left out is said."""
    short = Status(code=status.code, message=_shortened(status.message))
    if len(short.message) + sum(len(detail.value) for detail in status.details) <= _DETAILS_BYTES:
        short.details.extend(status.details)
        return short
    # The message tells the violations once more: between the two, the structured form is worth the room.
    short.message = short.message[:500]
    for detail in status.details:
        bad = BadRequest()
        if detail.Unpack(bad):
            short.details.add().Pack(_fewer(bad, _DETAILS_BYTES - short.ByteSize() - 100))
        elif short.ByteSize() + detail.ByteSize() <= _DETAILS_BYTES:
            short.details.append(detail)
    return short


def _shortened(message: str) -> str:
    while len(quote(message)) > _MESSAGE_BYTES:
        message = message[: max(1, len(message) * 3 // 4)].removesuffix("…") + "…"
    return message


def _fewer(bad: BadRequest, room: int) -> BadRequest:
    kept = BadRequest()
    for violation in bad.field_violations:
        if kept.ByteSize() + violation.ByteSize() + 10 > room:
            break
        kept.field_violations.append(violation)
    left_out = len(bad.field_violations) - len(kept.field_violations)
    if left_out:
        kept.field_violations.add(field="", description=f"and {left_out} more faulty fields")
    return kept
