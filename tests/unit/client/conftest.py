"""The fakes of this folder, listening."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.unit.client.fakes import Reports, Services
from wakepoint.client import Client
from wakepoint.runner.v1 import runner_service_pb2_grpc
from wakepoint.trigger.v1 import trigger_service_pb2_grpc


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reports]:
    """A listening trigger service, whose address stands in the environment, and no RunJob around."""
    for name in ("RUN_ID", "JOB_ID", "EXPERIMENT_ID", "INPUT", "OUTPUT"):
        monkeypatch.delenv(f"WAKEPOINT_{name}", raising=False)
    monkeypatch.delenv("TRACEPARENT", raising=False)
    reports, server = Reports(), grpc.server(ThreadPoolExecutor(2))
    trigger_service_pb2_grpc.add_TriggerServiceServicer_to_server(reports, server)
    reports.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    monkeypatch.setenv("WAKEPOINT_TRIGGER_ADDRESS", reports.address)
    server.start()
    yield reports
    server.stop(None).wait()


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    services = Services()
    server = grpc.aio.server()
    trigger_service_pb2_grpc.add_TriggerServiceServicer_to_server(services, server)
    runner_service_pb2_grpc.add_RunnerServiceServicer_to_server(services, server)
    services.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield services
    await server.stop(None)


@pytest.fixture
async def client(services: Services) -> AsyncIterator[Client]:
    async with Client(trigger_address=services.address, runner_address=services.address) as client:
        yield client
