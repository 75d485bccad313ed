"""A service that exists for tests only, and a server in its place that keeps what it was asked."""

import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NoReturn

import grpc
import httpx
from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from wakepoint.chassis.clock import Clock
from wakepoint.chassis.interceptors import ServerInterceptor
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.transcoder import Special, Transcoder

_F = descriptor_pb2.FieldDescriptorProto
_SCALARS: Mapping[str, Any] = {
    "string": _F.TYPE_STRING,
    "bool": _F.TYPE_BOOL,
    "int32": _F.TYPE_INT32,
    "int64": _F.TYPE_INT64,
    "uint32": _F.TYPE_UINT32,
    "double": _F.TYPE_DOUBLE,
    "bytes": _F.TYPE_BYTES,
}
# Field by field; `*` is repeated, a capital a message, `Kind` the enum.
_THING = (
    "name:string size:int32 count:int64 few:uint32 ratio:double hot:bool raw:bytes kind:Kind parent_thing:Part "
    "part_list:*Part word_list:*string kind_list:*Kind labels:*LabelsEntry made_time:.google.protobuf.Timestamp "
    "life_span:.google.protobuf.Duration mask:.google.protobuf.FieldMask extra:.google.protobuf.Struct "
    "any_value:.google.protobuf.Value some_list:.google.protobuf.ListValue etag:string"
)
_PART = "name:string inner_part:Part weight:int64"
_PLACES = {"LabelsEntry": "Thing.LabelsEntry"}
_RULES: Mapping[str, HttpRule] = {
    "Get": HttpRule(get="/v1/things/{name}"),
    "Named": HttpRule(get="/v1/things/special"),
    "Nested": HttpRule(get="/v1/parts/{parent_thing.name}/{size}"),
    "Put": HttpRule(put="/v1/things/{name}", body="*"),
    "PutPart": HttpRule(patch="/v1/parts/{parent_thing.name}", body="parent_thing"),
    "Cool": HttpRule(post="/v1/things/{name}:cool", body="*"),
    "List": HttpRule(get="/v1/things", additional_bindings=[HttpRule(get="/things", response_body="part_list")]),
    "Drop": HttpRule(delete="/v1/things/{name}"),
    "Watch": HttpRule(get="/v1/things/{name}:watch"),
}


_numbers = itertools.count()


def service(**changed: HttpRule) -> ServiceDescriptor:
    """A service whose methods take and answer a `Thing` each; `changed` are annotations that differ from the usual."""
    package = f"test.v{next(_numbers)}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.append(_things().file.name)
    things = file.service.add(name="Things")
    for name, rule in {**_RULES, **changed}.items():
        method = things.method.add(name=name, input_type=".test.Thing", output_type=".test.Thing")
        method.server_streaming = name == "Watch"
        method.options.Extensions[annotations_pb2.http].CopyFrom(rule)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{package}.Things")


def thing(**fields: Any) -> Any:
    """A `Thing`."""
    return GetMessageClass(_things())(**fields)


@cache
def _things() -> Descriptor:
    file = descriptor_pb2.FileDescriptorProto(name="things.proto", package="test", syntax="proto3")
    known = (timestamp_pb2, duration_pb2, field_mask_pb2, struct_pb2)
    file.dependency.extend(module.DESCRIPTOR.name for module in known)
    kind = file.enum_type.add(name="Kind")
    for number, name in enumerate(("KIND_UNSPECIFIED", "KIND_ROUND", "KIND_SQUARE")):
        kind.value.add(name=name, number=number)
    message = _add(file.message_type, "Thing", _THING)
    entry = _add(message.nested_type, "LabelsEntry", "key:string value:string")
    entry.options.map_entry = True
    _add(file.message_type, "Part", _PART)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName("test.Thing")


def _add(messages: Any, name: str, fields: str) -> descriptor_pb2.DescriptorProto:
    message: descriptor_pb2.DescriptorProto = messages.add(name=name)
    for number, text in enumerate(fields.split(), start=1):
        field, _, kind = text.partition(":")
        added = message.field.add(name=field, number=number, label=_F.LABEL_OPTIONAL)
        if kind.startswith("*"):
            added.label = _F.LABEL_REPEATED
            kind = kind.removeprefix("*")
        if kind in _SCALARS:
            added.type = _SCALARS[kind]
        else:
            added.type = _F.TYPE_ENUM if kind == "Kind" else _F.TYPE_MESSAGE
            added.type_name = kind if kind.startswith(".") else f".test.{_PLACES.get(kind, kind)}"
    return message


@dataclass
class Things:
    """The service behind the transcoder: remembers what it was asked, and answers `answer` of it."""

    answer: Callable[[Any], Any] = lambda request: request
    stream: Callable[[Any], AsyncIterator[Any]] | None = None
    asked: list[Any] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    async def unary(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        self.contexts.append(context)
        answered = self.answer(request)
        return await answered if inspect.isawaitable(answered) else answered

    async def streaming(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        assert self.stream is not None
        async for message in self.stream(request):
            yield message

    def register(self, described: ServiceDescriptor, server: grpc.aio.Server) -> None:
        """As generated code does it."""
        handlers = {
            rpc.name: grpc.unary_stream_rpc_method_handler(self.streaming)
            if rpc.server_streaming
            else grpc.unary_unary_rpc_method_handler(self.unary)
            for rpc in described.methods
        }
        server.add_registered_method_handlers(described.full_name, handlers)  # type: ignore[attr-defined] # not in the stubs


def transcoder(
    things: Things,
    *,
    special: Mapping[str, Special] | None = None,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    described: ServiceDescriptor | None = None,
    max_body_bytes: int = 10_000,
) -> Transcoder:
    """A transcoder in front of the things."""
    described = described or _usual()
    return Transcoder(
        described,
        partial(things.register, described),
        [ServerInterceptor(metrics or Metrics(), clock)],
        max_body_bytes=max_body_bytes,
        special=special,
        clock=clock,
    )


@cache
def _usual() -> ServiceDescriptor:
    return service()


def client_of(rest: Any) -> httpx.AsyncClient:
    """A client of any ASGI application, without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=rest), base_url="http://things")


def violations(response: httpx.Response) -> list[tuple[str, str]]:
    """The faulty fields that an answer names."""
    details: Iterable[dict[str, Any]] = response.json().get("details", ())
    return [
        (item["field"], item["description"])
        for detail in details
        if detail["@type"].endswith("BadRequest")
        for item in detail["field_violations"]
    ]


def reason(response: httpx.Response) -> str:
    """The reason that an answer gives to programs."""
    return str(response.json()["details"][0]["reason"])


def raising(error: BaseException) -> Any:
    """An answer that is an error."""

    def answer(_: object) -> NoReturn:
        raise error

    return answer


async def ask(method: str, url: str, things: Things | None = None, **options: Any) -> httpx.Response:
    """Ask a usual transcoder in front of the things."""
    async with client_of(transcoder(things or Things())) as client:
        return await client.request(method, url, **options)


async def message_of(method: str, url: str, **options: Any) -> Any:
    """The message that a request becomes."""
    things = Things()
    response = await ask(method, url, things, **options)
    assert response.status_code == 200, response.text
    return things.asked[0]
