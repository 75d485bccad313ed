"""The transcoder: an ASGI application that turns HTTP requests into calls of a gRPC service, by its annotations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from weakref import WeakSet

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from wakepoint.chassis.clock import Clock, SystemClock
from wakepoint.chassis.errors import InvalidArgument, NotFound, Unimplemented, WakepointError
from wakepoint.chassis.status import to_status
from wakepoint.chassis.transcoder import requests
from wakepoint.chassis.transcoder.answers import Refusal, answer, failure, refused
from wakepoint.chassis.transcoder.asking import Special, message_of
from wakepoint.chassis.transcoder.calls import Call, CallFailed, Interceptors, Methods, Register, failed
from wakepoint.chassis.transcoder.routes import Match, Router, routes_of
from wakepoint.chassis.transcoder.streams import EVENTS, LINES, Pump, stream_answer, wants_events

_log = structlog.stdlib.get_logger(__name__)


class Transcoder:
    """Serves every annotated method of a service.

    `register` is the generated `add_..._to_server`, bound to the servicer; `interceptors` are those of the gRPC server.
    `max_body_bytes` bounds a request's body; `special` is by method name. ValueError for annotations that do not fit.
    """

    def __init__(
        self,
        service: ServiceDescriptor,
        register: Register,
        interceptors: Interceptors,
        *,
        max_body_bytes: int,
        special: Mapping[str, Special] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._service = service.full_name
        self._router = Router(routes_of(service))
        self._methods = Methods(register, interceptors)
        self._special = special or {}
        self._clock = clock or SystemClock()
        self._max_body_bytes = max_body_bytes
        self._pumps: WeakSet[Pump] = WeakSet()
        self._ending = False

    @property
    def paths(self) -> Sequence[str]:
        """What can be asked, such as `GET /v1/runs/{run_id}`; sorted by path."""
        return [str(route) for route in sorted(self._router.routes, key=lambda route: route.template.text)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            response = await self.answered(Request(scope, receive), self._respond)
            await response(scope, receive, send)

    def posting(self, take: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
        """An application for one path that no annotation has, which takes POST; errors are answered as everywhere."""

        async def respond(request: Request) -> Response:
            if request.method == "OPTIONS":
                return Response(status_code=204, headers={"Allow": "OPTIONS, POST"})
            if request.method != "POST":
                raise _not_allowed(request, "OPTIONS, POST")
            requests.refuse_other_origins(request)
            return await take(request)

        return _Posting(self, respond)

    async def body_of(self, request: Request) -> bytes:
        """The body of a request to such a path. Refuses one that is too long."""
        return await requests.read_bytes(request, self._max_body_bytes)

    async def call(self, method: str, message: Message, request: Request) -> Message:
        """Call a unary method by its name on behalf of a request. CallFailed."""
        return await self._methods.unary(self._full_name(method), message, self._call_of(request))

    async def end_streams(self) -> None:
        """For a service that stops: streams end with UNAVAILABLE, and clients go on with another replica."""
        self._ending = True
        for pump in self._pumps:
            pump.cut(_stopping())

    async def answered(self, request: Request, take: Callable[[Request], Awaitable[Response]]) -> Response:
        """What `take` answers, errors included."""
        try:
            return await take(request)
        except (WakepointError, Refusal) as error:
            return refused(error)
        except CallFailed as error:
            return failure(error.status)
        except Exception as error:  # noqa: BLE001 - the last floor: whatever it is, it is answered
            _log.error("a request failed", method=request.method, path=request.url.path, exc_info=error)
            return failure(to_status(error))

    async def _respond(self, request: Request) -> Response:
        try:
            matches = self._router.find(_raw_path(request))
        except ValueError:
            raise InvalidArgument.of("path", "must be UTF-8") from None
        if not matches:
            error = NotFound(f"there is nothing at {request.url.path[:500]}", reason="NO_SUCH_PATH")
            raise Refusal(error, 404)
        allowed = _allowed(matches)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": allowed})
        wanted = "GET" if request.method == "HEAD" else request.method
        match = next((match for match in matches if match.route.http_method == wanted), None)
        if match is None:
            raise _not_allowed(request, allowed)
        requests.refuse_other_origins(request)
        special = self._special.get(match.route.rpc.name, Special())
        asked = await message_of(match, request, special, self._max_body_bytes)
        if match.route.rpc.server_streaming:
            return await self._stream(match, asked, request)
        method = self._full_name(match.route.rpc.name)
        answered = await self._methods.unary(method, asked, self._call_of(request))
        return await answer(answered, match.route.response_body)

    async def _stream(self, match: Match, message: Message, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if request.method == "HEAD":
            return Response(media_type=EVENTS if wants_events(accept) else LINES)
        call = self._call_of(request)
        messages = self._methods.stream(self._full_name(match.route.rpc.name), message, call)
        special = self._special.get(match.route.rpc.name, Special())
        resumed = "last-event-id" in request.headers
        pump = Pump(messages, self._clock, call.deadline)
        self._pumps.add(pump)
        if self._ending:
            pump.cut(_stopping())
        return await stream_answer(pump, accept, special.resumable, resumed=resumed)

    def _call_of(self, request: Request) -> Call:
        """The call that a request makes; its headers are the metadata."""
        seconds = requests.timeout_of(request.headers)
        client = request.client
        return Call(
            metadata=tuple(request.headers.items()),
            clock=self._clock,
            peer_name=f"{client.host}:{client.port}" if client else "",
            deadline=None if seconds is None else self._clock.monotonic() + seconds,
        )

    def _full_name(self, method: str) -> str:
        return f"/{self._service}/{method}"


class _Posting:
    """One path's application. Not a function, which starlette would take for a handler of GET."""

    def __init__(self, rest: Transcoder, respond: Callable[[Request], Awaitable[Response]]) -> None:
        self._rest = rest
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._rest.answered(Request(scope, receive), self._respond)
        await response(scope, receive, send)


def _stopping() -> CallFailed:
    return failed(grpc.StatusCode.UNAVAILABLE, "the service is stopping: ask again for what follows")


def _not_allowed(request: Request, allowed: str) -> Refusal:
    message = f"{request.method[:20]} is not possible here: use {allowed}"
    return Refusal(Unimplemented(message, reason="METHOD_NOT_ALLOWED"), 405, {"Allow": allowed})


def _allowed(matches: Sequence[Match]) -> str:
    methods = {match.route.http_method for match in matches}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()) | {"OPTIONS"}))


def _raw_path(request: Request) -> str:
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return raw.decode("latin-1")
