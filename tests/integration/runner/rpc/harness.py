"""The runner's gRPC face on a real server, and short ways to build what is sent to it."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from grpc_status import rpc_status

from runner_service.nodes.registry import NodeRegistry
from runner_service.rpc.servicer import RunnerServicer, register
from runner_service.usecases.watch_run import LogWatch
from runner_service.worker.hub import Hub
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.interceptors import ServerInterceptor
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.status import from_status
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.runner.v1.runner_service_pb2_grpc import RunnerServiceStub
from wakepoint.workflow.v1.graph_pb2 import Graph

if TYPE_CHECKING:
    from wakepoint.runner.v1.runner_service_pb2_grpc import RunnerServiceAsyncStub

TABLES = ("graphs", "runs", "run_events", "start_requests", "inbox", "waits", "wake_choices", "outbox", "jobs")


@dataclass
class Service:
    """A client of the service under test, and what stands behind it."""

    stub: "RunnerServiceAsyncStub"
    database: Database
    hub: Hub
    log_watch: LogWatch
    servicer: RunnerServicer

    async def start(self, graph: Mapping[str, Any], **fields: Any) -> str:
        """Start a run; its id."""
        return (await self.stub.StartRun(start_request(graph, **fields))).run.run_id

    async def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        async with self.database.connection() as connection:
            return {name: await connection.fetchval(f"select count(*) from runner.{name}") for name in TABLES}


@asynccontextmanager
async def serving(
    database: Database, clock: Clock, registry: NodeRegistry, *, hub: Hub | None = None
) -> AsyncIterator[Service]:
    """The service on a free port; without `hub` nothing executes the runs that it starts."""
    log_watch = LogWatch(clock)
    if hub is None:
        hub = Hub(database, log_watch.grew)
    else:
        hub._log_grew = log_watch.grew
    servicer = RunnerServicer(
        database=database,
        signals=hub,
        registry=registry,
        log_watch=log_watch,
        clock=clock,
        webhook_url=lambda target: f"http://runner.test/hooks/{target.run_id}.{target.node_id}",
    )
    server = grpc.aio.server(interceptors=[ServerInterceptor(Metrics())])
    register(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Service(RunnerServiceStub(channel), database, hub, log_watch, servicer)
    await server.stop(None)


async def refusal(call: Awaitable[Any]) -> WakepointError:
    """The error that the call ends with, as its status says."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    status = rpc_status.from_call(cast(grpc.Call, refused.value))
    assert status is not None, refused.value
    error = from_status(status)
    assert error is not None, status
    return error


def faulty_fields(error: WakepointError) -> list[str]:
    """The fields that the error names."""
    return [violation.field for violation in getattr(error, "violations", ())]


def graph_message(graph: Mapping[str, Any]) -> Graph:
    """The message for a graph as people write it in JSON."""
    return json_format.ParseDict(dict(graph), Graph())


def start_request(graph: Mapping[str, Any] | None, **fields: Any) -> calls.StartRunRequest:
    """A request in experiment e1, workflow w1, unless `fields` say otherwise."""
    request = json_format.ParseDict({"workflowId": "w1", "experimentId": "e1", **fields}, calls.StartRunRequest())
    if graph is not None:
        request.graph.CopyFrom(graph_message(graph))
    return request


def wake_request(**fields: Any) -> calls.WakeUpRequest:
    """A wake-up from its JSON."""
    return json_format.ParseDict(fields, calls.WakeUpRequest())


def plain(message: Message) -> Any:
    """A message as its JSON, fields by their names in the proto."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
