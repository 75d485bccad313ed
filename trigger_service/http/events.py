"""POST /v1/events: CloudEvents that say what became of jobs."""

from __future__ import annotations

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from trigger_service.http.job_events import job_event_of, names_in
from wakepoint.chassis.cloud_events import Received, ReceivedEvent, read_events
from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.status import to_status
from wakepoint.chassis.transcoder import CallFailed, Transcoder, answer, renamed
from wakepoint.trigger.v1.trigger_pb2 import JobEvent
from wakepoint.trigger.v1.trigger_service_pb2 import (
    BatchReportJobEventsRequest,
    BatchReportJobEventsResponse,
    BatchReportJobEventsResult,
    ReportJobEventRequest,
)


async def take_events(rest: Transcoder, request: Request) -> Response:
    """Report what the events say, as ReportJobEvent does; a batch is answered item by item."""
    received = read_events(request.headers, await rest.body_of(request))
    if received.batched:
        return await answer(await _report_batch(rest, request, received))
    event = received.only
    try:
        return await answer(
            await rest.call("ReportJobEvent", ReportJobEventRequest(event=job_event_of(event)), request)
        )
    except CallFailed as error:
        raise CallFailed(renamed(error.status, names_in(event))) from None


async def _report_batch(rest: Transcoder, request: Request, received: Received) -> Message:
    given = [_job_event_or_error(event) for event in received.events]
    good = [(event, origin) for event, origin in given if isinstance(event, JobEvent)]
    calling = BatchReportJobEventsRequest(events=[event for event, _ in good])
    reported = await rest.call("BatchReportJobEvents", calling, request)
    assert isinstance(reported, BatchReportJobEventsResponse)
    for result, (_, origin) in zip(reported.results, good, strict=True):
        if result.HasField("error") and origin is not None:
            result.error.CopyFrom(renamed(result.error, names_in(origin)))
    results = iter(reported.results)
    return BatchReportJobEventsResponse(
        results=[
            next(results) if isinstance(event, JobEvent) else BatchReportJobEventsResult(error=to_status(event))
            for event, _ in given
        ]
    )


def _job_event_or_error(
    event: ReceivedEvent | InvalidArgument,
) -> tuple[JobEvent | InvalidArgument, ReceivedEvent | None]:
    if isinstance(event, InvalidArgument):
        return event, None
    try:
        return job_event_of(event), event
    except InvalidArgument as error:
        return error, event
