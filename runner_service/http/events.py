"""POST /v1/events: CloudEvents addressed to nodes."""

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from runner_service.domain.runs import Disposition
from runner_service.http.answers import status_of
from runner_service.http.wake_ups import NAMES, wake_up_of
from wakepoint.chassis.cloud_events import Received, ReceivedEvent, read_events
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.status import to_status
from wakepoint.chassis.transcoder import CallFailed, Transcoder, answer, renamed
from wakepoint.runner.v1.runner_pb2 import WakeUpDisposition
from wakepoint.runner.v1.runner_service_pb2 import (
    BatchWakeUpRequest,
    BatchWakeUpResponse,
    BatchWakeUpResult,
    WakeUpRequest,
    WakeUpResponse,
)

_PREFIX = "WAKE_UP_DISPOSITION_"


async def take_events(rest: Transcoder, request: Request) -> Response:
    """Wake the nodes that the events name; a batch is answered item by item.

    A single event is answered with the HTTP status of its disposition, as a webhook is, so that a sender which knows
    nothing of dispositions repeats what is worth repeating.
    """
    received = read_events(request.headers, await rest.body_of(request))
    if received.batched:
        return await answer(await _wake_batch(rest, request, received))
    try:
        woken = await rest.call("WakeUp", wake_up_of(received.only), request)
    except CallFailed as error:
        raise CallFailed(renamed(error.status, NAMES)) from None
    assert isinstance(woken, WakeUpResponse)
    response = await answer(woken)
    response.status_code = status_of(Disposition(WakeUpDisposition.Name(woken.disposition).removeprefix(_PREFIX)))
    if response.status_code == 429:
        response.headers["Retry-After"] = "1"
    return response


async def _wake_batch(rest: Transcoder, request: Request, received: Received) -> Message:
    given = [_wake_up_or_error(event) for event in received.events]
    calling = BatchWakeUpRequest(wake_ups=[item for item in given if isinstance(item, WakeUpRequest)])
    answered = await rest.call("BatchWakeUp", calling, request)
    assert isinstance(answered, BatchWakeUpResponse)
    for result in answered.results:
        if result.HasField("error"):
            result.error.CopyFrom(renamed(result.error, NAMES))
    results = iter(answered.results)
    return BatchWakeUpResponse(
        results=[
            next(results) if isinstance(item, WakeUpRequest) else BatchWakeUpResult(error=to_status(item))
            for item in given
        ]
    )


def _wake_up_or_error(event: ReceivedEvent | InvalidArgument) -> WakeUpRequest | InvalidArgument:
    try:
        return event if isinstance(event, InvalidArgument) else wake_up_of(event)
    except InvalidArgument as error:
        return error
