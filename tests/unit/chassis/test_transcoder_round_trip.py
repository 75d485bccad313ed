"""Whatever a message says arrives as it was said: by every binding of both services, in both spellings of names."""

import asyncio
from functools import partial
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.messages import messages, scalars
from tests.support.rest import annotated, asked, rules_of
from tests.unit.chassis.transcoding import Things, transcoder
from wakepoint.chassis.transcoder import Transcoder
from wakepoint.runner.v1 import runner_service_pb2
from wakepoint.trigger.v1 import trigger_service_pb2

SERVICES = (
    trigger_service_pb2.DESCRIPTOR.services_by_name["TriggerService"],
    runner_service_pb2.DESCRIPTOR.services_by_name["RunnerService"],
)
# Streams are asked in the same way and answered in another: they have tests of their own.
RPCS = [rpc for service in SERVICES for rpc in annotated(service) if not rpc.server_streaming]


async def reach(rest: Transcoder, method: str, url: str, body: bytes) -> int:
    """Ask without a client in between, which would tidy up the path. The HTTP status."""
    path, _, query = url.partition("?")
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "raw_path": path.encode()}
    scope |= {"query_string": query.encode(), "headers": [], "server": ("things", 80), "scheme": "http"}
    statuses: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await rest(scope, receive, send)
    return statuses[0]


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.name)
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_message_arrives_as_it_was_said(rpc: MethodDescriptor, data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from(rules_of(rpc)), label="binding")
    message: Any = data.draw(messages(rpc.input_type), label="message")
    for path in _variables(str(getattr(rule, str(rule.WhichOneof("pattern"))))):
        _fill(data, message, path)
    things = Things()
    rest = transcoder(things, described=rpc.containing_service, max_body_bytes=10**7)
    question = asked(rule, message, camel_case=data.draw(st.booleans(), label="camel case"))
    things.answer = partial(_empty, rpc)
    assert asyncio.run(reach(rest, question.method, question.url, question.body)) == 200
    assert things.asked == [message]


def _empty(rpc: MethodDescriptor, _: object) -> Any:
    return GetMessageClass(rpc.output_type)()


def _variables(template: str) -> list[str]:
    return [part.partition("}")[0] for part in template.split("{")[1:]]


def _fill(data: st.DataObject, message: Any, path: str) -> None:
    """A segment of a path cannot be empty."""
    *parents, last = path.split(".")
    for name in parents:
        message = getattr(message, name)
    field = message.DESCRIPTOR.fields_by_name[last]
    setattr(message, last, data.draw(scalars(field).filter(bool), label=path))
