"""A hosted service: addresses, readiness, health, reflection, drain."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic_settings import SettingsConfigDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.conditions import eventually
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.server import ServiceHost
from wakepoint.chassis.settings import ServiceSettings

SERVICE = "test.Echo"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="ECHO_")


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"database_url": "postgresql://u:p@h/d", "stop_seconds": 5.0, **changes})


class Echo:
    """One method, which waits while `hold` is set."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def echo(self, request: bytes, context: Any) -> bytes:
        self.entered.set()
        await self.go_on.wait()
        return request

    def register(self, server: grpc.aio.Server) -> None:
        """As generated code does."""
        handlers = {"Echo": grpc.unary_unary_rpc_method_handler(self.echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


class Switch:
    """A readiness check that can be broken."""

    def __init__(self) -> None:
        self.broken = False

    async def check(self) -> None:
        if self.broken:
            raise ConnectionError("password=secret")


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def host(echo: Echo) -> AsyncIterator[ServiceHost]:
    async with ServiceHost(settings(), Metrics()) as host:
        host.add_grpc(SERVICE, echo.register)
        host.mount(Starlette(routes=[Route("/hello", hello)]))
        yield host


async def health(address: str, service: str = "") -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return int((await health_pb2_grpc.HealthStub(channel).Check(request)).status)


async def call(address: str, request: bytes) -> bytes:
    channel: Any = grpc.aio.insecure_channel(address)
    async with channel:
        answer: bytes = await channel.unary_unary(f"/{SERVICE}/Echo")(request)
        return answer


async def get(address: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://{address}{path}")


async def test_before_start_it_is_alive_and_not_ready(host: ServiceHost) -> None:
    assert (await get(host.addresses.management, "/livez")).status_code == 200
    response = await get(host.addresses.management, "/readyz")
    assert (response.status_code, response.json()["problems"]) == (503, {"phase": "starting"})


async def test_once_started_everything_answers_on_the_real_addresses(host: ServiceHost) -> None:
    addresses = await host.start()
    ports = {int(address.rsplit(":", 1)[1]) for address in (addresses.grpc, addresses.http, addresses.management)}
    assert len(ports - {0}) == 3
    assert (await get(addresses.management, "/readyz")).json() == {"ready": True, "problems": {}}
    assert (await get(addresses.http, "/hello")).text == "hello"
    assert (await get(addresses.http, "/nope")).status_code == 404
    assert await health(addresses.grpc) == SERVING
    assert await health(addresses.grpc, SERVICE) == SERVING
    assert await call(addresses.grpc, b"hi") == b"hi"
    scraped = (await get(addresses.management, "/metrics")).text
    assert 'wakepoint_rpcs_total{code="OK",method="Echo",service="test.Echo"} 1.0' in scraped


async def test_reflection_lists_the_services(host: ServiceHost) -> None:
    addresses = await host.start()
    async with grpc.aio.insecure_channel(addresses.grpc) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert names >= {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_readiness_and_health_follow_a_check_and_liveness_does_not(host: ServiceHost) -> None:
    switch = Switch()
    host.check("database", switch.check)
    addresses = await host.start()
    switch.broken = True
    response = await get(addresses.management, "/readyz")
    assert (response.status_code, response.json()["problems"]) == (503, {"database": "ConnectionError"})
    assert (await get(addresses.management, "/livez")).status_code == 200

    async def answers(status: int) -> bool:
        return await health(addresses.grpc, SERVICE) == status

    await eventually(lambda: answers(NOT_SERVING))
    switch.broken = False
    await eventually(lambda: answers(SERVING))
    assert (await get(addresses.management, "/readyz")).status_code == 200


async def test_a_check_that_hangs_is_not_ready(host: ServiceHost) -> None:
    host.check("peer", asyncio.Event().wait)  # type: ignore[arg-type] # it never returns
    addresses = await host.start()
    assert (await get(addresses.management, "/readyz")).json()["problems"] == {"peer": "TimeoutError"}


async def test_stopping_drains_while_calls_are_still_answered(echo: Echo) -> None:
    seen: list[str] = []
    async with ServiceHost(settings(), Metrics()) as host:
        host.add_grpc(SERVICE, echo.register)
        addresses = await host.start()

        async def drain() -> None:
            seen.append((await get(addresses.management, "/readyz")).json()["problems"]["phase"])
            assert await health(addresses.grpc, SERVICE) == NOT_SERVING
            seen.append((await call(addresses.grpc, b"late")).decode())

        async def fails() -> None:
            raise ConnectionError("already gone")

        async def stopped() -> None:
            seen.append("stopped")

        host.on_drain(fails)
        host.on_drain(drain)
        host.on_stop(stopped)
    assert seen == ["draining", "late", "stopped"]
    with pytest.raises(httpx.ConnectError):
        await get(addresses.management, "/livez")


async def test_a_running_call_is_finished_before_the_end(echo: Echo) -> None:
    echo.go_on.clear()
    async with ServiceHost(settings(), Metrics()) as host:
        host.add_grpc(SERVICE, echo.register)
        addresses = await host.start()
        running = asyncio.create_task(call(addresses.grpc, b"slow"))
        await echo.entered.wait()
        asyncio.get_running_loop().call_later(0.2, echo.go_on.set)
    assert await running == b"slow"


async def test_draining_ends_after_its_time(echo: Echo) -> None:
    async with ServiceHost(settings(stop_seconds=0.1), Metrics()) as host:
        await host.start()
        host.on_drain(asyncio.Event().wait)  # type: ignore[arg-type] # it never returns


async def test_a_taken_address_is_refused_by_name() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        for name in ("grpc_address", "http_address", "management_address"):
            with pytest.raises(OSError, match=f"cannot listen on {address}"):
                async with ServiceHost(settings(**{name: address}), Metrics()):
                    pass


async def test_two_processes_share_a_grpc_port_only_when_told() -> None:
    async with ServiceHost(settings(), Metrics()) as first:
        with pytest.raises(OSError, match="cannot listen"):
            async with ServiceHost(settings(grpc_address=first.addresses.grpc), Metrics()):
                pass
    async with ServiceHost(settings(reuse_port=True), Metrics()) as first:
        shared = settings(grpc_address=first.addresses.grpc, http_address=first.addresses.http, reuse_port=True)
        async with ServiceHost(shared, Metrics()) as second:
            assert second.addresses.grpc == first.addresses.grpc
            assert second.addresses.http == first.addresses.http


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "10.1.2.3:0", "example.org:0"])
async def test_other_addresses_than_loopback_are_refused(address: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        async with ServiceHost(settings(grpc_address=address, management_address=address), Metrics()):
            pass
    assert [violation.field for violation in caught.value.violations] == [
        "ECHO_GRPC_ADDRESS",
        "ECHO_MANAGEMENT_ADDRESS",
    ]
    assert "ECHO_ALLOW_INSECURE=true" in caught.value.message


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "127.0.0.9:0"])
async def test_loopback_addresses_are_fine(address: str) -> None:
    async with ServiceHost(settings(grpc_address=address), Metrics()) as host:
        assert host.addresses.grpc.split(":")[0] == address.split(":", maxsplit=1)[0]


async def test_insecure_binding_is_allowed_loudly(capfd: pytest.CaptureFixture[str]) -> None:
    async with ServiceHost(settings(grpc_address="0.0.0.0:0", allow_insecure=True), Metrics()) as host:
        assert host.addresses.grpc.startswith("0.0.0.0:")
    logged = "".join(capfd.readouterr())
    assert "INSECURE" in logged
    assert "ECHO_GRPC_ADDRESS" in logged


async def test_a_message_above_the_limit_is_refused(echo: Echo) -> None:
    async with ServiceHost(settings(max_message_bytes=65_536), Metrics()) as host:
        host.add_grpc(SERVICE, echo.register)
        addresses = await host.start()
        assert len(await call(addresses.grpc, b"x" * 65_000)) == 65_000
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(addresses.grpc, b"x" * 70_000)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


MAIN = """
import asyncio, sys
from pydantic_settings import SettingsConfigDict
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.server import ServiceHost, launch
from wakepoint.chassis.settings import ServiceSettings

class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="ECHO_")

async def drain():
    print("draining", flush=True)
    if "hang" in sys.argv:
        await asyncio.Event().wait()

async def serve(settings):
    async with ServiceHost(settings, Metrics()) as host:
        host.on_drain(drain)
        await host.run()
        print("told", flush=True)

launch(Settings, serve)
"""


async def _process(tmp_path: Path, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        MAIN,
        *arguments,
        env={
            **os.environ,
            "ECHO_DATABASE_URL": "postgresql://u:p@h/d",
            "ECHO_ADDRESS_FILE": str(tmp_path / "addresses"),
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    process = await _process(tmp_path)
    await eventually((tmp_path / "addresses").exists)
    told = json.loads((tmp_path / "addresses").read_text())
    assert told["pid"] == process.pid
    assert (await get(told["management"], "/readyz")).status_code == 200
    process.send_signal(number)
    out, _ = await process.communicate()
    assert (process.returncode, out.decode().split()) == (0, ["told", "draining"])


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    process = await _process(tmp_path, "hang")
    await eventually((tmp_path / "addresses").exists)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert (await process.stdout.readline()) == b"told\n"
    assert (await process.stdout.readline()) == b"draining\n"
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 128 + signal.SIGINT


async def test_what_an_operator_can_put_right_is_one_line_and_status_1(tmp_path: Path) -> None:
    process = await _process(tmp_path, ECHO_GRPC_ADDRESS="nonsense", ECHO_LOG_FORMAT="json")
    _, told = await process.communicate()
    assert process.returncode == 1
    assert b"ECHO_GRPC_ADDRESS" in told
    assert b"Traceback" not in told
