"""trigger_service inside the test's own event loop, behind a real gRPC server, with loops that run only when told."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.json_format import ParseDict
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from tests.integration.trigger.peer import Peer
from trigger_service.dispatcher.loop import Dispatcher, Pace
from trigger_service.domain.blueprints import Blueprints, on_offer
from trigger_service.rpc.runner_client import RunnerClient
from trigger_service.rpc.servicer import Servicer, register
from trigger_service.usecases.conditions import Conditions
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.offer_blueprints import offer_blueprints
from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.interceptors import ServerInterceptor
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.tasks import Poke
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.trigger.v1.trigger_service_pb2_grpc import TriggerServiceStub
from wakepoint.workflow.v1.graph_pb2 import Graph

if TYPE_CHECKING:
    from wakepoint.trigger.v1.trigger_service_pb2_grpc import TriggerServiceAsyncStub

TYPES = ("TRAIN", "DOWNLOAD_MODEL", "LOAD_MODEL", "EXPORT_MODEL", "EVAL", "GENERATE")
FAST = Pace(
    lease=timedelta(seconds=10),
    poll_seconds=0.2,
    first_retry_seconds=0.001,
    longest_retry_seconds=0.002,
    first_pause_seconds=0.01,
    longest_pause_seconds=0.05,
)


@dataclass
class Harness:
    database: Database
    peer: Peer
    runner: RunnerClient
    stub: "TriggerServiceAsyncStub"
    env: Environment
    poke: Poke = field(default_factory=Poke)
    address: str = ""

    def dispatcher(self, pace: Pace = FAST, runner: Any = None) -> Dispatcher:
        return Dispatcher(self.database, runner or self.runner, self.poke, SystemClock(), random.Random(7), pace)

    async def workflow(self, *, experiment_id: str = "e1", name: str = "w", **enabled: dict[str, Any]) -> str:
        """Create a workflow; `enabled` are options by trigger type. Its id."""
        answer = await self.stub.CreateWorkflow(
            calls.CreateWorkflowRequest(
                experiment_id=experiment_id, name=name, graph=graph(name), trigger_configs=configs(**enabled)
            )
        )
        return answer.workflow.workflow_id

    async def report(self, **fields: Any) -> calls.ReportJobEventResponse:
        return await self.stub.ReportJobEvent(calls.ReportJobEventRequest(event=event(**fields)))

    async def firings(self, workflow_id: str = "", **query: Any) -> Sequence[messages.Firing]:
        answer = await self.stub.ListFirings(calls.ListFiringsRequest(workflow_id=workflow_id, **query))
        return answer.firings

    async def execute(self, statement: str, *args: object) -> str:
        async with self.database.connection() as connection:
            return await connection.execute(statement, *args)

    async def value(self, statement: str, *args: object) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetchval(statement, *args)


@asynccontextmanager
async def serving(database: Database, peer: Peer, offer: Blueprints | None = None) -> AsyncIterator[Harness]:
    blueprints = offer or on_offer()
    await offer_blueprints(database, blueprints)
    runner = RunnerClient(peer.address, deadline=5.0)
    poke = Poke()
    env = Environment(database, blueprints, Conditions(), runner, poke.poke)
    server = grpc.aio.server(interceptors=[ServerInterceptor(Metrics())])
    register(Servicer(env), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    try:
        yield Harness(database, peer, runner, TriggerServiceStub(channel), env, poke, f"127.0.0.1:{port}")
    finally:
        await channel.close(None)
        await server.stop(None)
        await runner.close()


def graph(value: str = "x", node_type: str = "Constant") -> Graph:
    return ParseDict({"nodes": [{"id": "n", "type": node_type, "properties": {"value": value}}]}, Graph())


def configs(**enabled: dict[str, Any]) -> list[messages.TriggerConfig]:
    """All six; those named are on, with these options."""
    return [
        messages.TriggerConfig(trigger_type=kind, is_enabled=kind in enabled, **enabled.get(kind, {})) for kind in TYPES
    ]


def event(**fields: Any) -> messages.JobEvent:
    attributes = fields.pop("attributes", None)
    given = {"experiment_id": "e1", "job_id": "j1", "job_type": "TRAIN", "status": "COMPLETE", **fields}
    message = messages.JobEvent(**given)
    if attributes:
        message.attributes.update(attributes)
    return message


def reason_of(error: grpc.RpcError) -> str:
    for detail in _details(error):
        info = ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return ""


def faults_of(error: grpc.RpcError) -> list[tuple[str, str]]:
    for detail in _details(error):
        bad = BadRequest()
        if detail.Unpack(bad):
            return [(item.field, item.description) for item in bad.field_violations]
    return []


def _details(error: Any) -> Any:
    status = rpc_status.from_call(error)
    return status.details if status else ()
