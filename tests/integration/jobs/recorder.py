# ruff: noqa: N802 -- methods are named as in the proto
"""trigger_service, as far as the runner's outbox can see it: a real gRPC server that remembers what it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
from google.rpc.status_pb2 import Status

from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.interceptors import ServerInterceptor
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.status import to_status
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.trigger.v1.trigger_service_pb2_grpc import (
    TriggerServiceServicer,
    add_TriggerServiceServicer_to_server,
)


class Recorder(TriggerServiceServicer):
    """`refusal` may refuse single events, `whole` a whole call; `gate` holds every answer back while it is clear."""

    def __init__(self) -> None:
        self.events: list[messages.JobEvent] = []
        self.states: list[calls.RunResult] = []
        self.calls = 0
        self.refusal: Callable[[messages.JobEvent], WakepointError | Status | None] = lambda _event: None
        self.whole: Callable[[list[str]], WakepointError | None] = lambda _ids: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def told(self) -> list[tuple[str, str]]:
        """The job events that were taken: (job_id, status)."""
        return [(event.job_id, event.status) for event in self.events]

    async def come(self) -> None:
        """Serve; after `go_away` on the same port."""
        self._server = grpc.aio.server(interceptors=[ServerInterceptor(Metrics())], options=[("grpc.so_reuseport", 0)])
        add_TriggerServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def go_away(self) -> None:
        """Stop serving, cutting the calls under way."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def BatchReportJobEvents(
        self, request: calls.BatchReportJobEventsRequest, _context: object
    ) -> calls.BatchReportJobEventsResponse:
        await self._enter([event.job_id for event in request.events])
        return calls.BatchReportJobEventsResponse(results=[self._take(event) for event in request.events])

    async def ReportRunStates(
        self, request: calls.ReportRunStatesRequest, _context: object
    ) -> calls.ReportRunStatesResponse:
        await self._enter([result.firing_id for result in request.results])
        self.states.extend(request.results)
        return calls.ReportRunStatesResponse()

    async def _enter(self, ids: list[str]) -> None:
        self.calls += 1
        await self.gate.wait()
        if (error := self.whole(ids)) is not None:
            raise error

    def _take(self, event: messages.JobEvent) -> calls.BatchReportJobEventsResult:
        refused = self.refusal(event)
        if refused is not None:
            return calls.BatchReportJobEventsResult(
                error=refused if isinstance(refused, Status) else to_status(refused)
            )
        self.events.append(event)
        return calls.BatchReportJobEventsResult(
            disposition=messages.REPORT_DISPOSITION_ACCEPTED, event_id=event.event_id
        )


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    """A trigger_service that is there."""
    recorder = Recorder()
    await recorder.come()
    try:
        yield recorder
    finally:
        recorder.gate.set()
        await recorder.go_away()
