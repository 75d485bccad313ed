"""What the runner offers a running node (`wakepoint.nodes.Host`)."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from runner_service.domain.history import EventType, Line
from runner_service.domain.runs import Disposition, InboxEvent
from runner_service.domain.trigger_events import MAX_EVENT_BYTES, Address, TriggerEvent, faults_of, size_of
from runner_service.domain.webhooks import WebhookTarget
from runner_service.storage.steps import NewJob
from runner_service.usecases.deliver_events import Wake, deliver_events
from runner_service.usecases.execution.environment import Environment
from runner_service.usecases.execution.frames import Frame, Tell
from runner_service.usecases.execution.inbox import LocalInbox
from runner_service.usecases.execution.messages import Recorded, Waits
from runner_service.usecases.execution.outcomes import storable
from runner_service.usecases.execution.topics import listening_of, publication_of
from runner_service.usecases.publish_event import publish
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.ids import new_id
from wakepoint.nodes import NodeError, RunInfo, TriggerInactivityTimeout, Webhook


@dataclass(frozen=True, slots=True)
class NodeHost:
    """Of one passage of one node."""

    environment: Environment
    run: RunInfo
    frame: Frame
    inbox: LocalInbox
    tell: Tell
    draining: Callable[[], bool]

    def now(self) -> datetime:
        return self.environment.clock.now()

    async def wait(self, *, timeout: float | None, wake_time: datetime | None) -> dict[str, Any]:
        if self.frame.ungiven:
            return dict(self.frame.ungiven.popleft().event)
        event = self.inbox.take(self.frame.graph_node.id)
        if event is not None:
            self.frame.taken.append(event)
            return dict(event.event)
        beyond = wake_time is not None and timeout is not None and (wake_time - self.now()).total_seconds() > timeout
        if self.draining() or beyond or timeout == 0:
            # A node that does not give up but asks again and again must not keep the loop to itself.
            await asyncio.sleep(0)
            raise TriggerInactivityTimeout
        return await self._wait_in_memory(timeout, wake_time)

    async def _wait_in_memory(self, timeout: float | None, wake_time: datetime | None) -> dict[str, Any]:
        frame = self.frame
        frame.arrival = asyncio.get_running_loop().create_future()
        frame.wake_time = wake_time
        leave = self.environment.hot_waits.enter(frame.stop_waiting)
        self.tell(Waits(frame.graph_node.id))
        event: InboxEvent | None
        try:
            event = await self.environment.clock.wait_for(asyncio.shield(frame.arrival), timeout)
        except TimeoutError:
            event = frame.arrival.result() if _has_result(frame.arrival) else None
        finally:
            leave()
            frame.arrival.cancel()
            frame.arrival = None
        if event is None:
            raise TriggerInactivityTimeout
        return dict(event.event)

    async def take_pending(self, limit: int) -> list[dict[str, Any]]:
        if (room := self.frame.room()) is not None:
            limit = min(limit, room - len(self.frame.taken))
        taken: list[dict[str, Any]] = []
        while len(taken) < limit and (event := self.inbox.take(self.frame.graph_node.id)) is not None:
            self.frame.taken.append(event)
            taken.append(dict(event.event))
        return taken

    async def collect(self, limit: int, seconds: float) -> list[dict[str, Any]]:
        clock = self.environment.clock
        end = clock.monotonic() + seconds
        if (room := self.frame.room()) is not None:
            limit = min(limit, room - len(self.frame.taken))
        taken: list[dict[str, Any]] = []
        with suppress(TriggerInactivityTimeout):
            while len(taken) < limit:
                left = max(end - clock.monotonic(), 0)
                # Without time left, what is there is still taken.
                taken.append(await self.wait(timeout=left, wake_time=None))
        return taken

    async def send(self, event: Mapping[str, Any]) -> None:
        sent = event_from_mapping(event, self.environment.clock)
        faults = [f"{fault.field}: {fault.description}" for fault in faults_of(sent)]
        if faults:
            raise NodeError(f"cannot send this event: {'; '.join(faults)}", retryable=False)
        storable(sent.as_node_sees_it(), "event", MAX_EVENT_BYTES)
        if (size := size_of(sent)) > MAX_EVENT_BYTES:
            raise NodeError(f"cannot send an event of {size} bytes: pass a URI instead", retryable=False)
        wake = Wake(Address(self.run.run_id, self.frame.graph_node.id), sent)
        (result,) = await deliver_events(self.environment.database, self.environment.signals, [wake])
        if not result.disposition.success and result.disposition is not Disposition.FINISHED:
            raise NodeError(f"the event was not accepted: {result.disposition}")

    def webhook(self) -> Webhook:
        node, run = self.frame.graph_node, self.run
        scope = node.properties.get("scope", "run")
        target = WebhookTarget.of(run.run_id, run.workflow_id, run.experiment_id, node.id, scope)
        return self.environment.webhook_of(target)

    def record(self, event_type: str, payload: Mapping[str, Any]) -> None:
        # By way of the mailbox: the holder may be in the middle of committing a step.
        plain = storable(payload, "record", self.environment.max_state_bytes)
        self.tell(Recorded(Line(EventType(event_type), self.frame.graph_node.id, self.frame.activation, plain)))

    def listen(self, topics: Sequence[str] = (), jobs: Mapping[str, Any] | None = None) -> None:
        self.frame.listening = listening_of(self.run, self.frame, topics, jobs)

    async def publish(self, topic: str, event: Mapping[str, Any]) -> int:
        request = publication_of(self.run, topic, event, self.now())
        published = await publish(self.environment.database, self.environment.signals, request)
        return published.woken_count

    async def submit_job(self, job: Mapping[str, Any]) -> str:
        frame = self.frame
        # The job is only noted here: it starts once the step that suspends its node is committed, so that a crash
        # before that leaves no job behind and a crash after it leaves no second one.
        attempt = f"{self.run.attempt}.{frame.failures}"
        key = f"{self.run.run_id}:{frame.graph_node.id}:{frame.activation}:{attempt}"
        job_id = str(uuid5(NAMESPACE_URL, key))
        frame.jobs.append(
            NewJob(
                job_id=job_id,
                node_id=frame.graph_node.id,
                activation=frame.activation,
                job_type=job["job_type"],
                job_name=job["job_name"],
                backend=job["backend"],
                spec=dict(job["spec"]),
                host=self.environment.host,
            )
        )
        return job_id


def event_from_mapping(data: Mapping[str, Any], clock: Clock) -> TriggerEvent:
    """An event as a node sends it: a whole one when it has a `payload`, else just a payload."""
    if "payload" not in data:
        return TriggerEvent(new_id(), "wakepoint/node", "wakepoint.node", dict(data), clock.now())
    text = data.get("occur_time") or data.get("timestamp")
    occur_time = datetime.fromisoformat(text) if isinstance(text, str) else clock.now()
    return TriggerEvent(
        event_id=str(data.get("event_id") or new_id()),
        source=str(data.get("source") or "wakepoint/node"),
        type=str(data.get("type") or "wakepoint.node"),
        payload=data["payload"],
        occur_time=occur_time if occur_time.tzinfo else occur_time.astimezone(),
    )


def _has_result(future: asyncio.Future[InboxEvent]) -> bool:
    with suppress(asyncio.InvalidStateError, asyncio.CancelledError):
        return future.exception() is None
    return False
