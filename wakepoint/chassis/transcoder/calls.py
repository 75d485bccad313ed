"""Calling a service inside its own process: the same methods behind the same interceptors, without a socket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, cast

import grpc
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from wakepoint.chassis.clock import Clock

Metadata = tuple[tuple[str, str | bytes], ...]
Register = Callable[[grpc.aio.Server], None]
Interceptors = Sequence["grpc.aio.ServerInterceptor[Any, Any]"]

_DETAILS = "grpc-status-details-bin"


class CallFailed(Exception):
    """The method answered with this status."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


def failed(code: grpc.StatusCode, message: str) -> CallFailed:
    """A failure that says no more than this."""
    return CallFailed(Status(code=code.value[0], message=message))


@dataclass(slots=True)
class Call:
    """One call, as its method and the interceptors see it: what of a ServicerContext makes sense without a socket.

    `deadline` is by the clock's `monotonic`; None: the caller waits as long as it takes.
    """

    metadata: Metadata
    clock: Clock
    peer_name: str = ""
    deadline: float | None = None
    _code: grpc.StatusCode | None = None
    _details: str = ""
    _trailing: Metadata = field(default=())

    def invocation_metadata(self) -> Metadata:
        return self.metadata

    def time_remaining(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - self.clock.monotonic())

    def peer(self) -> str:
        return self.peer_name

    def peer_identities(self) -> None:
        return None

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        return {}

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Metadata:
        return self._trailing

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def set_details(self, details: str) -> None:
        self._details = details

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        self._trailing = tuple(metadata)

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """REST has no place for it."""

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """End the call. Raises, always."""
        self._code, self._details = code, details
        self._trailing = tuple(trailing_metadata) or self._trailing
        raise grpc.aio.AbortError(details)

    def raise_if_failed(self) -> None:
        """CallFailed where the method has said so."""
        if self._code in (None, grpc.StatusCode.OK):
            return
        assert self._code is not None
        for key, value in self._trailing:
            if key == _DETAILS and isinstance(value, bytes):
                raise CallFailed(Status.FromString(value))
        raise failed(self._code, self._details)


@dataclass(frozen=True, slots=True)
class _Details:
    """What interceptors are told of a call before it has a handler."""

    method: str
    invocation_metadata: Metadata


class Methods:
    """The methods that `register` adds to a server, callable by their full names."""

    def __init__(self, register: Register, interceptors: Interceptors) -> None:
        collected = _Collector()
        register(cast(grpc.aio.Server, collected))
        self._handlers = collected.handlers
        self._interceptors = tuple(interceptors)

    async def unary(self, method: str, request: Message, call: Call) -> Message:
        """The method's answer. CallFailed, also with DEADLINE_EXCEEDED when the call's time is up."""
        handler = await self._handler(method, call)
        try:
            answering = handler.unary_unary(request, call)
            answer: Message = await call.clock.wait_for(answering, call.time_remaining())
        except TimeoutError:
            raise out_of_time() from None
        except grpc.aio.AbortError:
            call.raise_if_failed()
            raise
        call.raise_if_failed()
        return answer

    async def stream(self, method: str, request: Message, call: Call) -> AsyncIterator[Message]:
        """The method's answers. CallFailed; the call's deadline is left to whoever takes the answers."""
        handler = await self._handler(method, call)
        answers = handler.unary_stream(request, call)
        try:
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    yield answer
        except grpc.aio.AbortError:
            call.raise_if_failed()
            raise
        call.raise_if_failed()

    async def _handler(self, method: str, call: Call) -> Any:
        async def find(details: Any) -> Any:
            return self._handlers.get(details.method)

        continuation: Any = find
        for interceptor in reversed(self._interceptors):
            continuation = partial(interceptor.intercept_service, continuation)
        handler = await continuation(_Details(method, call.metadata))
        if handler is None:
            raise failed(grpc.StatusCode.UNIMPLEMENTED, f"there is no method {method}")
        return handler


def out_of_time() -> CallFailed:
    """The call's deadline has passed."""
    return failed(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")


class _Collector:
    """Stands where generated code expects a server, and keeps what is registered."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """Generated code registers everything a second time, by name; that is the one that is kept."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self.handlers.update({f"/{service}/{name}": handler for name, handler in handlers.items()})
