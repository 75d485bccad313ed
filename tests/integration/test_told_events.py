"""What trigger_service tells the runner, over gRPC, is what the real runner takes."""

from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import pytest

from runner_service.nodes.registry import NodeRegistry
from runner_service.rpc.servicer import RunnerServicer
from runner_service.rpc.servicer import register as register_runner
from tests.integration.runner.rpc.harness import Service, serving
from trigger_service.domain.deliveries import Delivery, Told
from trigger_service.rpc.runner_client import RunnerClient
from wakepoint.chassis.clock import ManualClock, SystemClock
from wakepoint.chassis.database import Database


@pytest.fixture
async def runner(runner_db: Database, manual_clock: ManualClock) -> AsyncIterator[Service]:
    async with serving(runner_db, manual_clock, NodeRegistry.load()) as running:
        yield running


async def client_of(servicer: RunnerServicer) -> tuple[grpc.aio.Server, RunnerClient]:
    server = grpc.aio.server()
    register_runner(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, RunnerClient(f"127.0.0.1:{port}")


def delivery(job_id: str) -> Delivery:
    return Delivery(
        event_key=uuid4(),
        source="trigger.jobs",
        event_id=str(uuid4()),
        experiment_id="e1",
        job_id=job_id,
        attempt=1,
        job_type="TRAIN",
        job_name="nightly",
        status="COMPLETE",
        attributes={"accuracy": 0.9, "epochs": 3},
        occur_time=SystemClock().now(),
        heartbeat_timeout=None,
        depth=2,
        cause_run_id="r",
        trace_parent="",
        attempts=1,
    )


async def test_the_runner_takes_what_it_is_told_and_takes_it_again_without_complaint(runner: Service) -> None:
    server, client = await client_of(runner.servicer)
    try:
        events = [delivery(f"j{number}") for number in range(3)]
        assert await client.deliver_job_events(events) == [Told.TAKEN] * 3
        assert await client.deliver_job_events(events) == [Told.TAKEN] * 3
    finally:
        await client.close()
        await server.stop(None)
