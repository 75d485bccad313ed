# ruff: noqa: N802 -- methods are named as in the proto
"""The runner, as far as trigger_service can see it: a real gRPC server that keeps the promises of BatchStartRuns."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
from google.rpc.status_pb2 import Status

from wakepoint.chassis.ids import new_id
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.runner.v1.runner_service_pb2_grpc import RunnerServiceServicer, add_RunnerServiceServicer_to_server
from wakepoint.trigger.v1.trigger_pb2 import JobEvent

Refusal = Callable[[calls.StartRunRequest], Status | None]
EventRefusal = Callable[[JobEvent], Status | None]
_KNOWN_TYPES = frozenset({"Constant", "Output"})


class Peer(RunnerServiceServicer):
    """Starts one run per request_id, whatever is sent how often, and remembers every call.

    `refusal` may refuse single requests; `whole` refuses a call as a whole; `skips` says whose key is taken.
    """

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.requests: dict[str, calls.StartRunRequest] = {}
        self.batches: list[calls.BatchStartRunsRequest] = []
        self.refusal: Refusal = lambda _request: None
        self.skips: Callable[[calls.StartRunRequest], bool] = lambda _request: False
        self.whole: Callable[[calls.BatchStartRunsRequest], grpc.StatusCode | None] = lambda _request: None
        self.validated = 0
        self.takes_events = True
        self.event_refusal: EventRefusal = lambda _event: None
        self.told: list[list[JobEvent]] = []
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def sent(self) -> int:
        """How many requests to start a run came in, repetitions included."""
        return sum(len(batch.requests) for batch in self.batches)

    async def come(self) -> None:
        """Serve; after `go_away` on the same port."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_RunnerServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def go_away(self) -> None:
        """Stop serving, cutting the calls under way."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def ValidateGraph(self, request: calls.ValidateGraphRequest, _context: object) -> calls.ValidateGraphResponse:
        self.validated += 1
        return calls.ValidateGraphResponse(
            violations=[
                messages.FieldViolation(field=f"graph.nodes[{index}].type", description=f"unknown type {node.type}")
                for index, node in enumerate(request.graph.nodes)
                if node.type not in _KNOWN_TYPES
            ],
            warnings=["looks odd"] if len(request.graph.nodes) == 2 else [],
        )

    async def BatchStartRuns(
        self, request: calls.BatchStartRunsRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> calls.BatchStartRunsResponse:
        self.batches.append(request)
        code = self.whole(request)
        if code is not None:
            await context.abort(code, "refused as a whole")
        return calls.BatchStartRunsResponse(results=[self._start(item) for item in request.requests])

    async def DeliverJobEvents(
        self, request: calls.DeliverJobEventsRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> calls.DeliverJobEventsResponse:
        if not self.takes_events:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not yet")
        self.told.append(list(request.events))
        return calls.DeliverJobEventsResponse(
            results=[calls.DeliverJobEventsResult(error=self.event_refusal(item)) for item in request.events]
        )

    def _start(self, request: calls.StartRunRequest) -> calls.BatchStartRunsResult:
        refused = self.refusal(request)
        if refused is not None:
            return calls.BatchStartRunsResult(error=refused)
        if self.skips(request):
            self.requests[request.request_id] = request
            return calls.BatchStartRunsResult(disposition=messages.START_RUN_DISPOSITION_SKIPPED)
        known = request.request_id in self.runs
        run_id = self.runs.setdefault(request.request_id, new_id())
        self.requests[request.request_id] = request
        return calls.BatchStartRunsResult(
            run=messages.Run(run_id=run_id),
            disposition=messages.START_RUN_DISPOSITION_DUPLICATE if known else messages.START_RUN_DISPOSITION_CREATED,
        )


@asynccontextmanager
async def serving_peer() -> AsyncIterator[Peer]:
    """A runner that is there."""
    peer = Peer()
    await peer.come()
    try:
        yield peer
    finally:
        await peer.go_away()
