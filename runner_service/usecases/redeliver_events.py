"""RedeliverTriggerEvents: what a node has had, or missed, comes to it once more, as new events."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner_service.domain.history import trigger_event_redelivered
from runner_service.domain.projection import RunState
from runner_service.domain.runs import EXPIRY_SOURCE, TIMER_SOURCE, Disposition, Run, TriggerEventState
from runner_service.domain.trigger_events import MAX_IDENTITY_BYTES, Address, TriggerEvent
from runner_service.storage import runs, trigger_events
from runner_service.storage.trigger_events import ListedEvent
from runner_service.usecases.deliver_events import Delivered, Wake, deliver_to_locked
from runner_service.usecases.list_trigger_events import find_node
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from wakepoint.chassis.ids import new_id

MAX_EVENTS = 1000
OWN_SOURCES = (TIMER_SOURCE, EXPIRY_SOURCE)
"""Times that have passed: they are repeated only when they are named."""


@dataclass(frozen=True, slots=True)
class RedeliverRequest:
    """No `event_ids`: every expired and dead-lettered event of the node. An empty `request_id` never repeats one."""

    run_id: str
    node_id: str
    event_ids: Sequence[str] = ()
    request_id: str = ""
    experiment_id: str | None = None

    def body_hash(self, run: Run) -> bytes:
        """Equal for requests that ask for the same."""
        body = [run.run_id, self.node_id, sorted(set(self.event_ids))]
        return hashlib.sha256(json.dumps(body).encode()).digest()


async def redeliver_events(database: Database, signals: Signals, request: RedeliverRequest) -> list[ListedEvent]:
    """The new events, as they stand now.

    NotFound: run, node or event. FailedPrecondition: the run or node has ended, or a named event is pending.
    AlreadyExists: the request_id came before with another body. InvalidArgument: too many events.
    """
    if len(request.event_ids) > MAX_EVENTS:
        raise InvalidArgument.of("event_ids", f"must have at most {MAX_EVENTS} items, not {len(request.event_ids)}")

    async def redeliver(connection: Connection) -> tuple[list[ListedEvent], Delivered | None]:
        run = await find_node(connection, request.run_id, request.node_id, request.experiment_id)
        if request.request_id:
            known = await _known(connection, run, request)
            if known is not None:
                return await trigger_events.get_by_seq(connection, run.run_id, known), None
        delivered = await _deliver(connection, run, request)
        seqs = [result.inbox_seq for result in delivered.results]
        if request.request_id:
            await trigger_events.complete_redelivery(connection, run.experiment_id, request.request_id, seqs)
        return await trigger_events.get_by_seq(connection, run.run_id, seqs), delivered

    events, delivered = await database.run(redeliver)
    if delivered is not None:
        delivered.announce(signals)
    return events


async def _known(connection: Connection, run: Run, request: RedeliverRequest) -> Sequence[int] | None:
    """What the request made when it came before; None: it is new."""
    body = request.body_hash(run)
    if await trigger_events.insert_redelivery(connection, run.experiment_id, request.request_id, body, run.run_id):
        return None
    earlier = await trigger_events.get_redelivery(connection, run.experiment_id, request.request_id)
    if earlier.body_hash != body:
        raise AlreadyExists(
            f"request_id {request.request_id} was used before for something else",
            reason="REQUEST_ID_REUSED",
            request_id=request.request_id,
        )
    return earlier.inbox_seqs


async def _deliver(connection: Connection, run: Run, request: RedeliverRequest) -> Delivered:
    locked = await runs.lock_runs(connection, [run.run_id])
    _check_open(request.node_id, locked[run.run_id])
    found = await trigger_events.get_trigger_events(
        connection, run.run_id, request.node_id, request.event_ids, without=OWN_SOURCES, limit=MAX_EVENTS
    )
    _check_found(request, found)
    wakes = [_again(run.run_id, request.node_id, listed.event) for listed in found]
    delivered = await deliver_to_locked(connection, wakes, locked)
    if any(result.disposition is Disposition.INBOX_FULL for result in delivered.results):
        raise ResourceExhausted(f"the inbox of node {request.node_id} has no room for them", reason="INBOX_FULL")
    return delivered


def _check_open(node_id: str, run: runs.LockedRun) -> None:
    if run.state in (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED) or node_id in run.closed_nodes:
        raise FailedPrecondition(
            f"node {node_id} takes no more events", reason="NODE_FINISHED", run_id=run.run_id, node_id=node_id
        )


def _check_found(request: RedeliverRequest, found: Sequence[ListedEvent]) -> None:
    missing = sorted(set(request.event_ids) - {listed.event.event_id for listed in found})
    if missing:
        raise NotFound(
            f"node {request.node_id} has no event {missing[0]}", reason="EVENT_NOT_FOUND", event_id=missing[0]
        )
    for listed in found:
        if listed.state is TriggerEventState.PENDING:
            raise FailedPrecondition(
                f"event {listed.event.event_id} is pending: it is still to be delivered",
                reason="EVENT_PENDING",
                event_id=listed.event.event_id,
            )


def _again(run_id: str, node_id: str, event: TriggerEvent) -> Wake:
    """A new event with the old one's content. An expire_time that has passed does not hold for it."""
    original = event.extensions.get("redelivers", event.event_id)
    again_id = f"{original.encode()[: MAX_IDENTITY_BYTES - 60].decode(errors='ignore')}#{new_id()}"
    extensions = {**event.extensions, "redelivers": original}
    again = replace(event, event_id=again_id, extensions=extensions, expire_time=None)
    line = trigger_event_redelivered(node_id, again.source, again_id, original)
    return Wake(Address(run_id, node_id), again, line)
