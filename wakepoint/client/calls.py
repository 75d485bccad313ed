"""One way to make a call, and one way to walk through pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

import grpc

from wakepoint.client.channels import call_metadata
from wakepoint.client.failures import error_of

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")


class Page(Protocol):
    """What the answers of all lists have in common."""

    @property
    def next_page_token(self) -> str: ...


PageType = TypeVar("PageType", bound=Page)


class Caller:
    """Makes calls with a deadline, and raises failures as exceptions of `wakepoint.client`."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self.metadata = call_metadata()

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,
    ) -> Response:
        """The answer; `timeout` in seconds, the client's own unless given. Raises WakepointError."""
        try:
            return await method(
                request,
                timeout=self._timeout if timeout is None else timeout,
                metadata=grpc.aio.Metadata(*self.metadata),
            )
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> AsyncIterator[Response]:
        """The answers of a stream, without a deadline. Raises WakepointError."""
        call = method(request, metadata=grpc.aio.Metadata(*self.metadata))
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure
        finally:
            call.cancel()


async def walk(
    fetch: Callable[[str], Awaitable[PageType]], items: Callable[[PageType], Iterable[Item]]
) -> AsyncIterator[Item]:
    """The items of all pages; each page is fetched when the one before it has been used up."""
    token = ""
    while True:
        page = await fetch(token)
        for item in items(page):
            yield item
        token = page.next_page_token
        if not token:
            return
