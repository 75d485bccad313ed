"""Both services, each reachable over gRPC and over HTTP at once: real sockets, a real database."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import grpc
import httpx
from google.protobuf import json_format
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from runner_service.domain.trigger_events import TriggerEvent
from runner_service.domain.webhooks import WebhookTarget, WebhookTokens
from runner_service.http.app import make_app
from runner_service.http.rest import make_rest as runner_rest
from runner_service.nodes.registry import NodeRegistry
from runner_service.rpc import servicer as runner_rpc
from tests.integration.runner.rpc import harness as runner_harness
from tests.integration.trigger import harness as trigger_harness
from tests.integration.trigger.peer import Peer
from tests.support.rest import asked, rules_of
from tests.support.web import WebServer
from trigger_service.http.app import http_app
from trigger_service.http.rest import make_rest as trigger_rest
from trigger_service.rpc import servicer as trigger_rpc
from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.interceptors import ServerInterceptor
from wakepoint.chassis.metrics import Metrics
from wakepoint.runner.v1 import runner_service_pb2
from wakepoint.trigger.v1 import trigger_service_pb2

MAX_BODY_BYTES = 2 * 2**20
HTTP_OF_CODE = {0: 200, 3: 400, 5: 404, 6: 409, 8: 429, 9: 400, 10: 409, 12: 501, 14: 503}

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_PLACE = re.compile(r"experiment-[12]")


@dataclass(frozen=True)
class Answer:
    """What came back: a status code of gRPC, and JSON without what differs from call to call."""

    code: int
    content: Any


@dataclass
class Sides:
    """One service, by both ways."""

    service: ServiceDescriptor
    stub: Any
    http: httpx.AsyncClient

    def message(self, method: str, fields: dict[str, Any]) -> Message:
        """The method's request."""
        request = GetMessageClass(self.service.methods_by_name[method].input_type)()
        return json_format.ParseDict(fields, request)

    async def over_grpc(self, method: str, request: Message) -> Answer:
        """The method called by a stub."""
        call = getattr(self.stub, method)(request)
        try:
            if self.service.methods_by_name[method].server_streaming:
                return Answer(0, [_masked(_printed(message)) async for message in call])
            return Answer(0, _masked(_printed(await call)))
        except grpc.aio.AioRpcError as error:
            status: Status | None = rpc_status.from_call(error)  # type: ignore[arg-type] # the stubs know the synchronous one only
            if status is None:
                raise
            return Answer(status.code, _masked(_printed(status)))

    async def over_http(self, method: str, request: Message, binding: int = 0) -> Answer:
        """The method called by one of its bindings."""
        rpc = self.service.methods_by_name[method]
        rule = rules_of(rpc)[binding]
        question = asked(rule, request)
        response = await self.http.request(
            question.method, question.url, content=question.body, headers={"content-type": "application/json"}
        )
        if response.status_code != 200:
            content = response.json()
            assert response.status_code == HTTP_OF_CODE[content["code"]]
            return Answer(content["code"], _masked(content))
        if rpc.server_streaming:
            return Answer(0, [_masked(json.loads(line)) for line in response.text.splitlines()])
        content = response.json()
        return Answer(0, _masked({rule.response_body: content} if rule.response_body else content))


@dataclass
class TriggerSides(Sides):
    """trigger_service."""

    harness: trigger_harness.Harness


@dataclass
class RunnerSides(Sides):
    """runner_service."""

    harness: runner_harness.Service


@asynccontextmanager
async def trigger_sides(database: Database, peer: Peer) -> AsyncIterator[TriggerSides]:
    async with trigger_harness.serving(database, peer) as harness:
        register = partial(trigger_rpc.register, trigger_rpc.Servicer(harness.env))
        rest = trigger_rest(harness.env, register, [ServerInterceptor(Metrics())], MAX_BODY_BYTES)
        service = trigger_service_pb2.DESCRIPTOR.services_by_name["TriggerService"]
        async with WebServer(http_app(rest)) as server, httpx.AsyncClient(base_url=server.url) as client:
            yield TriggerSides(service, harness.stub, client, harness)


@asynccontextmanager
async def runner_sides(database: Database, registry: NodeRegistry) -> AsyncIterator[RunnerSides]:
    async with runner_harness.serving(database, SystemClock(), registry) as harness:
        register = partial(runner_rpc.register, harness.servicer)
        rest = runner_rest(register, [ServerInterceptor(Metrics())], MAX_BODY_BYTES)
        app: Any = _app_around(rest, registry)
        service = runner_service_pb2.DESCRIPTOR.services_by_name["RunnerService"]
        async with WebServer(app) as server, httpx.AsyncClient(base_url=server.url) as client:
            yield RunnerSides(service, harness.stub, client, harness)


def _app_around(rest: Any, registry: NodeRegistry) -> Any:
    async def no_node(target: WebhookTarget) -> None:
        return None

    async def nothing(target: WebhookTarget, event: TriggerEvent) -> NoReturn:
        raise AssertionError("no webhook is called here")

    return make_app(
        tokens=WebhookTokens([b"k" * 32]),
        registry=registry,
        node_of=no_node,
        deliver=nothing,
        clock=SystemClock(),
        rest=rest,
    )


def _printed(message: Message) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _masked(content: Any) -> Any:
    """The content without ids and times, which no two calls have in common."""
    text = json.dumps(content, sort_keys=True)
    text = _UUID.sub("<id>", text)
    text = _TIME.sub("<time>", text)
    text = _PLACE.sub("<experiment>", text)
    return json.loads(text)


def filled(template: Any, names: dict[str, str]) -> Any:
    """The template with `{name}`, as a whole text, replaced by what has this name."""
    match template:
        case str():
            return names.get(template.strip("{}"), template) if template.startswith("{") else template
        case dict():
            return {key: filled(value, names) for key, value in template.items()}
        case list():
            return [filled(item, names) for item in template]
        case _:
            return template
