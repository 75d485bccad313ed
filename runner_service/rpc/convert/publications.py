"""Events for topics, and whom they reached."""

from dataclasses import replace
from datetime import datetime

from runner_service.rpc.convert.events import event_of
from runner_service.rpc.convert.requests import read_or
from runner_service.storage.topics import Published
from runner_service.usecases.publish_event import Publication
from wakepoint.chassis.protojson import duration_to_timedelta
from wakepoint.runner.v1 import runner_service_pb2 as calls


def publication_of(message: calls.PublishEventRequest, received: datetime) -> Publication:
    """What is to be published; an event that says nothing of its time happened when it was `received`."""
    event, faults = event_of(message.event, received)
    ttl = None
    if message.HasField("ttl"):
        ttl = read_or(None, lambda: duration_to_timedelta(message.ttl, "ttl"), faults)
    return Publication(
        experiment_id=message.experiment_id,
        topic=message.topic,
        event=replace(event, topic=message.topic),
        ttl=ttl,
        faults=tuple(faults),
    )


def published_to_message(published: Published) -> calls.PublishEventResponse:
    """Whom the event reaches."""
    woken = [
        calls.WokenNode(run_id=node.run_id, workflow_id=node.workflow_id, node_id=node.node_id)
        for node in published.woken
    ]
    return calls.PublishEventResponse(woken_count=published.woken_count, woken=woken)
