"""trigger_service, as the runner's outbox needs it."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from wakepoint.chassis.errors import Unavailable, WakepointError
from wakepoint.chassis.protojson import python_to_struct
from wakepoint.chassis.status import from_status
from wakepoint.trigger.v1 import trigger_pb2 as trigger
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.trigger.v1.trigger_service_pb2_grpc import TriggerServiceStub
from wakepoint.workflow.v1.execution_pb2 import RunState

_OPTIONS = (
    # A peer that comes back is noticed within a second, not after the minutes that gRPC backs off by itself.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)


class TriggerClient:
    """A channel to trigger_service. `deadline` in seconds for one call."""

    def __init__(self, address: str, *, deadline: float = 10.0) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = TriggerServiceStub(self._channel)
        self._deadline = deadline

    async def close(self) -> None:
        """Close the channel; calls under way are cut."""
        await self._channel.close(None)

    async def report_job_events(self, events: Sequence[Mapping[str, Any]]) -> list[WakepointError | None]:
        """One answer per event, in order: None or why it was refused. Unavailable when nobody could be told."""
        request = calls.BatchReportJobEventsRequest(events=[_job_event(event) for event in events])
        try:
            answer = await self._stub.BatchReportJobEvents(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            raise _away(error) from error
        return [from_status(result.error) if result.HasField("error") else None for result in answer.results]

    async def report_run_states(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Final states of fired runs. Unavailable when nobody could be told."""
        results = [
            calls.RunResult(
                firing_id=state["firing_id"],
                run_id=state["run_id"],
                state=RunState.Value(f"RUN_STATE_{state['state']}"),
            )
            for state in states
        ]
        try:
            await self._stub.ReportRunStates(calls.ReportRunStatesRequest(results=results), timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            raise _away(error) from error


def _job_event(event: Mapping[str, Any]) -> trigger.JobEvent:
    return trigger.JobEvent(
        event_id=event["event_id"],
        source=event["source"],
        experiment_id=event["experiment_id"],
        job_id=event["job_id"],
        job_type=event["job_type"],
        job_name=event["job_name"],
        status=event["status"],
        attributes=python_to_struct(event["attributes"], "attributes"),
        causation=trigger.Causation(**event["causation"]),
    )


def _away(error: grpc.aio.AioRpcError) -> Unavailable:
    return Unavailable(f"trigger_service cannot be told: {error.code().name}", reason="TRIGGER_SERVICE_UNAVAILABLE")
