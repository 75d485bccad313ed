"""Firings and the states of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from trigger_service.domain.firings import Firing, FiringState
from trigger_service.storage.firings import RunResult
from wakepoint.chassis.errors import InvalidArgument, Violations
from wakepoint.chassis.ids import is_id
from wakepoint.chassis.protojson import check_text, datetime_to_timestamp, timestamp_to_datetime
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.workflow.v1 import execution_pb2 as execution

_STATES = {state: messages.FiringState.Value(f"FIRING_STATE_{state}") for state in FiringState}
_BY_NUMBER: dict[int, FiringState] = {number: state for state, number in _STATES.items()}
_FINAL = {
    execution.RUN_STATE_COMPLETED: "COMPLETED",
    execution.RUN_STATE_FAILED: "FAILED",
    execution.RUN_STATE_CANCELLED: "CANCELLED",
}
_FINAL_BY_NAME = {name: number for number, name in _FINAL.items()}


def firing_to_message(firing: Firing) -> messages.Firing:
    """A firing as callers see it."""
    message = messages.Firing(
        firing_id=str(firing.firing_id),
        event_id=firing.event_id,
        workflow_id=str(firing.workflow_id),
        workflow_version=firing.workflow_version,
        experiment_id=firing.experiment_id,
        trigger_type=firing.trigger_type,
        replay=firing.replay,
        state=_STATES[firing.state],
        run_id=firing.run_id,
        run_state=_FINAL_BY_NAME.get(firing.run_state, execution.RUN_STATE_UNSPECIFIED),
        attempts=firing.attempts,
        last_error=firing.last_error,
        held_by=firing.held_by,
        create_time=datetime_to_timestamp(firing.create_time),
    )
    if firing.state in {FiringState.QUEUED, FiringState.RETRYING, FiringState.HELD}:
        message.next_attempt_time.CopyFrom(datetime_to_timestamp(firing.next_attempt_time))
    if firing.dispatch_time is not None:
        message.dispatch_time.CopyFrom(datetime_to_timestamp(firing.dispatch_time))
    if firing.run_end_time is not None:
        message.run_end_time.CopyFrom(datetime_to_timestamp(firing.run_end_time))
    return message


def states_of(numbers: Sequence[int]) -> list[FiringState]:
    """The states of a filter. InvalidArgument for numbers that name none."""
    unknown = [number for number in numbers if number not in _BY_NUMBER]
    if unknown:
        raise InvalidArgument.of("states", f"{unknown[0]} is not the state of a firing")
    return [_BY_NUMBER[number] for number in numbers]


def results_of(request: calls.ReportRunStatesRequest) -> list[RunResult]:
    """How runs ended. InvalidArgument names every result that says nothing final."""
    faults = Violations()
    for index, item in enumerate(request.results):
        at = f"results[{index}]"
        if not is_id(item.firing_id):
            faults.add(f"{at}.firing_id", "must be a UUID")
        if item.state not in _FINAL:
            faults.add(f"{at}.state", "must be COMPLETED, FAILED or CANCELLED")
        check_text(item.run_id, f"{at}.run_id", faults)
    faults.raise_if_any()
    return [_result(item, f"results[{index}]") for index, item in enumerate(request.results)]


def _result(item: calls.RunResult, at: str) -> RunResult:
    ended = timestamp_to_datetime(item.end_time, f"{at}.end_time") if item.HasField("end_time") else None
    return RunResult(UUID(item.firing_id), item.run_id, _FINAL[item.state], ended, item.attempt)
