"""Server streams over HTTP: JSON a line, or server-sent events where the client asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from google.protobuf.message import Message
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wakepoint.chassis.clock import Clock
from wakepoint.chassis.transcoder.answers import failure
from wakepoint.chassis.transcoder.calls import CallFailed, out_of_time
from wakepoint.chassis.transcoder.writing import as_json, json_of, plain

LINES = "application/x-ndjson"
EVENTS = "text/event-stream"

_FIRST_SECONDS = 1.0  # how long an error may still become the response's status
_QUIET_SECONDS = 15.0  # proxies end what is silent for longer than some 30 to 60 s

_Item = Message | CallFailed | None


@dataclass(frozen=True, slots=True)
class Resumable:
    """A stream that goes on after a break: `event_id` of a message, given as `resume`, asks for what follows it."""

    event_id: str
    resume: str


class Pump:
    """Takes a stream's messages in a task of its own, one ahead of the reader; what ends the stream comes last."""

    def __init__(self, messages: AsyncIterator[Message], clock: Clock, deadline: float | None) -> None:
        self._queue: asyncio.Queue[_Item] = asyncio.Queue(1)
        self._clock = clock
        self._deadline = deadline
        self._cut: CallFailed | None = None
        self._task = asyncio.create_task(self._run(messages), name="rest-stream")

    async def take(self, seconds: float) -> _Item:
        """The next message, the failure or None for the end; TimeoutError if there is none of them by then."""
        if self._cut is not None and self._queue.empty():
            return self._cut
        left = None if self._deadline is None else self._deadline - self._clock.monotonic()
        if left is not None and left <= 0:
            return out_of_time()
        try:
            return await self._clock.wait_for(self._queue.get(), seconds if left is None else min(seconds, left))
        except TimeoutError:
            if left is not None and left <= seconds:
                return out_of_time()
            raise

    def cut(self, error: CallFailed) -> None:
        """End the method; the reader gets what is there already, then the error."""
        self._task.cancel()
        self._cut = error
        if self._queue.empty():
            self._queue.put_nowait(error)

    async def stop(self) -> None:
        """Cancel the method if it has not ended."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self, messages: AsyncIterator[Message]) -> None:
        try:
            async for message in messages:
                await self._queue.put(message)
        except CallFailed as error:
            await self._queue.put(error)
        else:
            await self._queue.put(None)


async def stream_answer(pump: Pump, accept: str, resumable: Resumable | None, *, resumed: bool) -> Response:
    """The response to a stream that has begun; an error that comes at once is an ordinary failure.

    A browser's EventSource asks again after every end: a stream that was resumed and has nothing more is 204, which
    tells it to stop.
    """
    first: list[_Item] = []
    try:
        first.append(await pump.take(_FIRST_SECONDS))
    except TimeoutError:
        pass
    except BaseException:
        await pump.stop()
        raise
    if first and isinstance(first[0], CallFailed):
        await pump.stop()
        return failure(first[0].status)
    as_events = wants_events(accept)
    if as_events and resumed and first == [None]:
        await pump.stop()
        return Response(status_code=204)
    return _Streamed(pump, first, _Events(resumable) if as_events else _Lines())


def wants_events(accept: str) -> bool:
    """Whether server-sent events are asked for."""
    return any(part.partition(";")[0].strip().lower() == EVENTS for part in accept.split(","))


class _Lines:
    """A message a line; a failure is a last line `{"error": <google.rpc.Status>}`."""

    media_type = LINES
    quiet = b""
    end = b""

    async def of(self, message: Message) -> bytes:
        return await json_of(message) + b"\n"

    def failure(self, error: CallFailed) -> bytes:
        return as_json({"error": plain(error.status)}) + b"\n"


class _Events:
    """A message an event, with its id; then an event `end`, or `failure` with the google.rpc.Status."""

    media_type = EVENTS
    quiet = b":\n\n"
    end = b"event: end\ndata: {}\n\n"

    def __init__(self, resumable: Resumable | None) -> None:
        self._resumable = resumable

    async def of(self, message: Message) -> bytes:
        head = f"id: {getattr(message, self._resumable.event_id)}\n" if self._resumable else ""
        return head.encode() + b"data: " + await json_of(message) + b"\n\n"

    def failure(self, error: CallFailed) -> bytes:
        return b"event: failure\ndata: " + as_json(plain(error.status)) + b"\n\n"


class _Streamed(Response):
    """Sends until the stream ends or the client is gone, whichever is first; then the method has ended too."""

    def __init__(self, pump: Pump, first: list[_Item], form: _Lines | _Events) -> None:
        self._pump, self._first, self._form = pump, first, form
        super().__init__(media_type=form.media_type, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Response."""
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait([sending, leaving])
            await self._pump.stop()
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while True:
            try:
                item = self._first.pop() if self._first else await self._pump.take(_QUIET_SECONDS)
            except TimeoutError:
                await self._send(send, self._form.quiet)
                continue
            match item:
                case None:
                    await self._send(send, self._form.end)
                    break
                case CallFailed():
                    await self._send(send, self._form.failure(item))
                    break
                case _:
                    await self._send(send, await self._form.of(item))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, content: bytes) -> None:
        if content:
            await send({"type": "http.response.body", "body": content, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
