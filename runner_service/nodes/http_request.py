import json
from typing import Any, ClassVar, Literal

import httpx
from pydantic import Field

from wakepoint.nodes import Context, Node, NodeError, Template

_MAX_BODY_BYTES = 1024 * 1024
_SHOWN_CHARACTERS = 500

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class HttpRequest(Node):
    """Sends one HTTP request and gives out the answer as `{status, headers, body}`.

    The header `Idempotency-Key` is the same over all attempts of this passage, so that a receiver knows a repetition.
    `body` is sent as JSON, a text as it is; in the answer it is the JSON value where the content type says so, else
    text, at most 1 MiB. An answer with another status than expected fails the node; the retry policy decides whether
    it is asked again, but for 4xx other than 408, 425 and 429, which no repetition mends. Redirects are not followed.
    """

    method: Method = "GET"
    """The HTTP method."""
    url: str = Field(min_length=1, max_length=8_000)
    """An absolute http or https address."""
    headers: dict[str, str] = Field(default_factory=dict, max_length=100)
    """Headers to add."""
    body: Template = None
    """Any JSON value; nothing is sent for null."""
    expect_statuses: list[int] = Field(default_factory=list, max_length=100)
    """Statuses that count as success; none named: 200 to 299."""
    timeout_seconds: float = Field(default=30, gt=0, le=3600)
    """For the connection, and for each pause while reading; the node's own `timeout` bounds the whole."""

    output_names: ClassVar[tuple[str, ...]] = ("output",)

    async def process(self, context: Context) -> dict[str, Any]:
        """`{status, headers, body}`."""
        try:
            async with (
                httpx.AsyncClient(timeout=self.timeout_seconds, trust_env=False) as client,
                client.stream(self.method, self.url, headers=self._headers(context), content=self._content()) as answer,
            ):
                body = await _read(answer)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise NodeError(f"{self.url} is no address for a request: {error}", retryable=False) from None
        except httpx.HTTPError as error:
            raise NodeError(f"{self.method} {self.url} failed: {type(error).__name__}: {error}") from None
        self._check(answer.status_code, body)
        return {"status": answer.status_code, "headers": dict(answer.headers), "body": _value(answer, body)}

    def _headers(self, context: Context) -> dict[str, str]:
        names = {name.lower() for name in self.headers}
        headers = dict(self.headers)
        if "idempotency-key" not in names:
            headers["Idempotency-Key"] = context.idempotency_key
        if "content-type" not in names and self.body is not None and not isinstance(self.body, str):
            headers["Content-Type"] = "application/json"
        return headers

    def _content(self) -> bytes | None:
        if self.body is None:
            return None
        text = self.body if isinstance(self.body, str) else json.dumps(self.body, ensure_ascii=False)
        return text.encode()

    def _check(self, status: int, body: bytes) -> None:
        if status in self.expect_statuses or (not self.expect_statuses and 200 <= status < 300):
            return
        final = 400 <= status < 500 and status not in (408, 425, 429)
        told = body.decode("utf-8", "replace")[:_SHOWN_CHARACTERS]
        raise NodeError(f"{self.method} {self.url} answered {status}: {told}", retryable=not final)


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise NodeError(f"the answer has more than {_MAX_BODY_BYTES} bytes: pass a URI instead", retryable=False)
    return bytes(body)


def _value(answer: httpx.Response, body: bytes) -> Any:
    """JSON where it says so and is; else text."""
    kind = answer.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(body)
        except ValueError:
            pass
    return body.decode(answer.encoding or "utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
