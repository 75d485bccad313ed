"""Nodes that wait."""

from collections.abc import Callable
from datetime import timedelta

from runner_service.domain.runs import SuspendedNode, WaitHealth
from runner_service.domain.webhooks import WebhookTarget
from runner_service.rpc.convert.requests import faults_in, read_or
from runner_service.rpc.convert.runs import struct_or_none, time_or_none
from runner_service.storage.waits import SuspendedFilter
from runner_service.usecases.list_suspended import SuspendedPage
from wakepoint.chassis.errors import FieldViolation, InvalidArgument
from wakepoint.chassis.protojson import duration_to_timedelta
from wakepoint.runner.v1 import runner_pb2 as messages
from wakepoint.runner.v1 import runner_service_pb2 as calls

WebhookUrl = Callable[[WebhookTarget], str]
"""The address at which a node takes requests."""

WITH_WEBHOOK = frozenset({"Webhook", "Approval"})

HEALTHS = {
    WaitHealth.OK: messages.WAIT_HEALTH_OK,
    WaitHealth.OVERDUE: messages.WAIT_HEALTH_OVERDUE,
    WaitHealth.STALE: messages.WAIT_HEALTH_STALE,
    WaitHealth.FAILING: messages.WAIT_HEALTH_FAILING,
}
_HEALTH_OF: dict[int, WaitHealth] = {number: health for health, number in HEALTHS.items()}


def suspended_filter_of(request: calls.ListSuspendedRequest) -> SuspendedFilter:
    """InvalidArgument naming every faulty field, among them filters that are none."""
    faults = list(faults_in(request))
    idle = None
    if request.HasField("min_idle"):
        idle = read_or(timedelta(0), lambda: duration_to_timedelta(request.min_idle, "min_idle"), faults)
        if idle < timedelta(0):
            faults.append(FieldViolation("min_idle", "must not be negative"))
    health = _HEALTH_OF.get(request.health)
    if request.health and health is None:
        faults.append(FieldViolation("health", f"{request.health} is no health"))
    if faults:
        raise InvalidArgument.from_violations(faults)
    return SuspendedFilter(
        experiment_id=request.experiment_id or None,
        workflow_id=request.workflow_id or None,
        node_type=request.node_type or None,
        min_idle=idle,
        include_waiting=request.include_waiting,
        health=health,
    )


def page_to_message(page: SuspendedPage, webhook_url: WebhookUrl) -> calls.ListSuspendedResponse:
    """A page of waiting nodes."""
    return calls.ListSuspendedResponse(
        suspended=[suspended_to_message(node, webhook_url) for node in page.nodes],
        next_page_token=page.next_page_token,
        total_estimate=page.total_estimate,
    )


def suspended_to_message(node: SuspendedNode, webhook_url: WebhookUrl) -> messages.SuspendedNode:
    """A waiting node; the address at which it takes requests is made for the answer, and stored nowhere."""
    metadata = dict(node.metadata)
    if node.node_type in WITH_WEBHOOK:
        scope = node.webhook_scope or "run"
        target = WebhookTarget.of(node.run_id, node.workflow_id, node.experiment_id, node.node_id, scope)
        metadata["webhook_url"] = webhook_url(target)
    return messages.SuspendedNode(
        key=node.key,
        run_id=node.run_id,
        workflow_id=node.workflow_id,
        node_id=node.node_id,
        node_type=node.node_type,
        experiment_id=node.experiment_id,
        reason=node.reason,
        state=struct_or_none(node.state),
        metadata=struct_or_none(metadata),
        suspend_time=time_or_none(node.suspend_time),
        wake_time=time_or_none(node.wake_time),
        expire_time=time_or_none(node.expire_time),
        topics=node.topics,
        priority=node.priority,
        pending_events=node.pending_events,
        health=HEALTHS[node.health],
    )
