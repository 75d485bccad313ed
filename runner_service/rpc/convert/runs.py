"""Runs, their nodes and their logs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from runner_service.domain.history import EventType, HistoryEvent
from runner_service.domain.node_status import NodeCondition, NodeStatus
from runner_service.domain.projection import RunState
from runner_service.domain.runs import Run
from runner_service.rpc.convert.requests import faults_in
from runner_service.storage.runs import RunFilter
from runner_service.usecases.get_run import RunInFull
from runner_service.usecases.list_run_events import LogQuery
from wakepoint.chassis.protojson import datetime_to_timestamp, python_to_struct
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls
from wakepoint.workflow.v1 import execution_pb2 as execution

RUN_STATES = {
    RunState.QUEUED: execution.RUN_STATE_QUEUED,
    RunState.RUNNING: execution.RUN_STATE_RUNNING,
    RunState.SUSPENDED: execution.RUN_STATE_SUSPENDED,
    RunState.COMPLETED: execution.RUN_STATE_COMPLETED,
    RunState.FAILED: execution.RUN_STATE_FAILED,
    RunState.CANCELLED: execution.RUN_STATE_CANCELLED,
}
_RUN_STATE_OF: dict[int, RunState] = {number: state for state, number in RUN_STATES.items()}

NODE_STATES = {
    NodeCondition.PENDING: messages.NODE_STATE_PENDING,
    NodeCondition.SCHEDULED: messages.NODE_STATE_SCHEDULED,
    NodeCondition.RUNNING: messages.NODE_STATE_RUNNING,
    NodeCondition.WAITING: messages.NODE_STATE_WAITING,
    NodeCondition.SUSPENDED: messages.NODE_STATE_SUSPENDED,
    NodeCondition.COMPLETED: messages.NODE_STATE_COMPLETED,
    NodeCondition.FAILED: messages.NODE_STATE_FAILED,
    NodeCondition.SKIPPED: messages.NODE_STATE_SKIPPED,
    NodeCondition.CANCELLED: messages.NODE_STATE_CANCELLED,
}

_EVENT_TYPES = frozenset(EventType)

# Their messages are whole sentences.
_SPEAKING_TYPES = ("Cancelled", "NodeError", "ReplicaLost")


def run_filter_of(request: calls.ListRunsRequest) -> RunFilter:
    """InvalidArgument naming every faulty field, unknown states among them."""
    faults = faults_in(request)
    for index, number in enumerate(request.states):
        if number not in _RUN_STATE_OF:
            faults.add(f"states[{index}]", f"{number} is not the state of a run")
    faults.raise_if_any()
    states = tuple(dict.fromkeys(_RUN_STATE_OF[number] for number in request.states))
    return RunFilter(request.experiment_id or None, request.workflow_id or None, states)


def log_query_of(request: calls.ListRunEventsRequest) -> LogQuery:
    """InvalidArgument naming every faulty field, unknown event types among them."""
    faults = faults_in(request, "run_id")
    for index, name in enumerate(request.event_types):
        if name not in _EVENT_TYPES:
            faults.add(f"event_types[{index}]", f"unknown event type: {name}")
    faults.raise_if_any()
    return LogQuery(
        run_id=request.run_id,
        experiment_id=request.experiment_id or None,
        after_seq=request.after_seq,
        event_types=tuple(dict.fromkeys(EventType(name) for name in request.event_types)),
        node_id=request.node_id or None,
    )


def full_run_to_message(full: RunInFull) -> messages.Run:
    """A run with its nodes."""
    message = run_to_message(full.run)
    for node_id, status in full.nodes.items():
        message.node_states[node_id].CopyFrom(_node_status(status))
    return message


def run_to_message(run: Run) -> messages.Run:
    """A run without its nodes."""
    return messages.Run(
        run_id=run.run_id,
        workflow_id=run.workflow_id,
        experiment_id=run.experiment_id,
        state=RUN_STATES[run.state],
        input=struct_or_none(run.input),
        outputs=struct_or_none(run.outputs),
        error=error_text(run.error),
        attempt=run.attempt,
        first_seq=run.first_seq,
        last_seq=run.last_seq,
        suspended_node_ids=run.suspended_node_ids,
        source=_source(run.source) if run.source else None,
        create_time=datetime_to_timestamp(run.create_time),
        start_time=time_or_none(run.start_time),
        update_time=datetime_to_timestamp(run.update_time),
        end_time=time_or_none(run.end_time),
        deadline=time_or_none(run.deadline),
    )


def line_to_message(line: HistoryEvent) -> messages.RunEvent:
    """One line of a log."""
    return messages.RunEvent(
        run_id=line.run_id,
        seq=line.seq,
        event_type=line.event_type.value,
        node_id=line.node_id or "",
        activation=line.activation or "",
        payload=struct_or_none(line.payload),
        create_time=datetime_to_timestamp(line.create_time),
    )


def lines_to_message(lines: Sequence[HistoryEvent], next_page_token: str) -> calls.ListRunEventsResponse:
    """A page of a log."""
    return calls.ListRunEventsResponse(
        events=[line_to_message(line) for line in lines], next_page_token=next_page_token
    )


def error_text(error: Mapping[str, Any] | None) -> str:
    """An error as one line for people: where, what kind, what; its traceback stays in the log."""
    if not error:
        return ""
    where = f"node {error['node_id']}: " if error.get("node_id") else ""
    kind = error.get("type") or ""
    return where + (f"{kind}: " if kind and kind not in _SPEAKING_TYPES else "") + str(error.get("message") or "")


def struct_or_none(value: Mapping[str, Any] | None) -> Struct | None:
    """A struct for what is there, if only an empty one."""
    return None if value is None else python_to_struct(value)


def time_or_none(moment: datetime | None) -> Timestamp | None:
    """A timestamp for what has a time."""
    return None if moment is None else datetime_to_timestamp(moment)


def _source(source: Mapping[str, Any]) -> messages.RunSource:
    return messages.RunSource(
        firing_id=source.get("firing_id", ""),
        event_id=source.get("event_id", ""),
        trigger_type=source.get("trigger_type", ""),
        depth=source.get("depth", 0),
    )


def _node_status(status: NodeStatus) -> messages.NodeStatus:
    record = status.record
    return messages.NodeStatus(
        state=NODE_STATES[status.condition],
        activation=status.activation,
        attempt=record.attempt,
        outputs=struct_or_none(record.outputs) if status.condition is NodeCondition.COMPLETED else None,
        error=error_text(record.error),
        suspension_metadata=struct_or_none(record.metadata or None),
        saved_state=struct_or_none(record.saved_state or None),
    )
