"""The interceptor around handlers of all four kinds, over a real grpc.aio server and channel."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from wakepoint.chassis.errors import FieldViolation, InvalidArgument, NotFound, ResourceExhausted, WakepointError
from wakepoint.chassis.interceptors import ServerInterceptor
from wakepoint.chassis.metrics import Metrics

KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
Act = Callable[["grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[None]]


class Stage:
    """A server with one method of each kind; each does `act`, then answers its request."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.act: Act = self._nothing

    async def _nothing(self, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
        return

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        await self.act(context)
        return request

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield request
        await self.act(context)
        yield request

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        await self.act(context)
        return b"".join([request async for request in requests])

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        async for request in requests:
            await context.write(request)
            await self.act(context)

    def handlers(self) -> Any:
        """All four, as generated code would register them."""
        return grpc.method_handlers_generic_handler(
            "test.Stage", {kind: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(self, kind)) for kind in KINDS}
        )


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def channel(stage: Stage) -> AsyncIterator[Any]:
    server = grpc.aio.server(interceptors=[ServerInterceptor(stage.metrics)])
    server.add_generic_rpc_handlers((stage.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def call(channel: Any, kind: str, **options: Any) -> list[bytes]:
    """Call the method of that kind with b"x"; all answers."""

    async def requests() -> AsyncIterator[bytes]:
        yield b"x"

    method = getattr(channel, kind)(f"/test.Stage/{kind}")
    running = method(requests() if kind.startswith("stream") else b"x", **options)
    if kind.endswith("stream"):
        return [answer async for answer in running]
    return [await running]


async def fail(channel: Any, kind: str, **options: Any) -> tuple[grpc.aio.AioRpcError, Status]:
    """Call it, expecting an error; the error and the rich status in it."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, kind, **options)
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type] # the stubs know the synchronous one only
    assert status is not None
    return caught.value, status


def raising(error: BaseException) -> Act:
    async def act(_: object) -> None:
        raise error

    return act


@pytest.mark.parametrize("kind", KINDS)
async def test_answers_pass_and_are_counted(stage: Stage, channel: Any, kind: str) -> None:
    assert set(await call(channel, kind)) == {b"x"}
    labels = {"service": "test.Stage", "method": kind}
    assert stage.metrics.registry.get_sample_value("wakepoint_rpcs_total", {**labels, "code": "OK"}) == 1
    assert stage.metrics.registry.get_sample_value("wakepoint_rpc_seconds_count", labels) == 1
    assert stage.metrics.registry.get_sample_value("wakepoint_rpcs_running", labels) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_of_ours_becomes_its_status(stage: Stage, channel: Any, kind: str) -> None:
    stage.act = raising(NotFound("workflow w1 does not exist", reason="WORKFLOW_NOT_FOUND", workflow_id="w1"))
    error, status = await fail(channel, kind)
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "workflow w1 does not exist")
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "WORKFLOW_NOT_FOUND",
        "wakepoint",
        {"workflow_id": "w1"},
    )
    labels = {"service": "test.Stage", "method": kind, "code": "NOT_FOUND"}
    assert stage.metrics.registry.get_sample_value("wakepoint_rpcs_total", labels) == 1


async def test_details_say_which_fields_and_when_to_retry(stage: Stage, channel: Any) -> None:
    stage.act = raising(InvalidArgument.from_violations([FieldViolation("a", "is missing"), FieldViolation("b", "no")]))
    _, status = await fail(channel, "unary_unary")
    bad = BadRequest()
    assert status.details[1].Unpack(bad)
    assert [violation.field for violation in bad.field_violations] == ["a", "b"]
    stage.act = raising(ResourceExhausted("too fast", retry_after=timedelta(seconds=3)))
    _, status = await fail(channel, "unary_unary")
    retry = RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_anything_else_is_logged_with_its_trace_id_and_leaks_nothing(
    stage: Stage, channel: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage.act = raising(ValueError("secret-dsn"))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with caplog.at_level(logging.ERROR):
        error, status = await fail(channel, kind, metadata=(("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == f"internal error (trace id {trace})"
    assert b"secret-dsn" not in status.SerializeToString()


async def test_an_invalid_traceparent_is_replaced(stage: Stage, channel: Any) -> None:
    stage.act = raising(KeyError("x"))
    error, _ = await fail(channel, "unary_unary", metadata=(("traceparent", "00-evil-injection-01"),))
    trace = (error.details() or "").removeprefix("internal error (trace id ").removesuffix(")")
    assert len(bytes.fromhex(trace)) == 16


async def test_a_base_error_without_a_row_is_internal(stage: Stage, channel: Any) -> None:
    stage.act = raising(WakepointError("not for callers"))
    error, _ = await fail(channel, "unary_unary")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "not for callers" not in (error.details() or "")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_that_aborts_by_itself_is_not_touched(stage: Stage, channel: Any, kind: str) -> None:
    async def act(context: Any) -> None:
        await context.abort(grpc.StatusCode.DATA_LOSS, "by hand")

    stage.act = act
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, kind)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.DATA_LOSS, "by hand")
    labels = {"service": "test.Stage", "method": kind, "code": "DATA_LOSS"}
    assert stage.metrics.registry.get_sample_value("wakepoint_rpcs_total", labels) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_callers_cancellation_reaches_the_handler(stage: Stage, channel: Any, kind: str) -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def act(_: object) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stage.act = act
    running = asyncio.create_task(call(channel, kind))
    await asyncio.wait_for(entered.wait(), 5)
    running.cancel()
    await asyncio.wait_for(cancelled.wait(), 5)
    await asyncio.wait([running])
    await asyncio.sleep(0)
    labels = {"service": "test.Stage", "method": kind, "code": "CANCELLED"}
    assert stage.metrics.registry.get_sample_value("wakepoint_rpcs_total", labels) == 1


async def test_an_unknown_method_is_unimplemented(channel: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/test.Stage/nope")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("character", ["a", "ü", "漢"])
async def test_a_thousand_faulty_fields_arrive_as_invalid_argument(stage: Stage, channel: Any, character: str) -> None:
    stage.act = raising(
        InvalidArgument.from_violations(FieldViolation(f"nodes[{n}]", character * 50) for n in range(1_000))
    )
    error, status = await fail(channel, "unary_unary")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad = next(found for detail in status.details if detail.Unpack(found := BadRequest()))
    named = len(bad.field_violations) - 1
    assert named >= 10
    assert bad.field_violations[-1].description == f"and {1_000 - named} more faulty fields"


async def test_long_metadata_does_not_hide_the_status(stage: Stage, channel: Any) -> None:
    stage.act = raising(NotFound("no", reason="GONE", value="x" * 20_000))
    error, _ = await fail(channel, "unary_unary")
    assert error.code() is grpc.StatusCode.NOT_FOUND
