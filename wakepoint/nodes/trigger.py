"""`TriggerNode`: a node that waits for trigger events, first in memory, then as a row in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, NoReturn

from pydantic import Field, PrivateAttr

from wakepoint.chassis.clock import SystemClock
from wakepoint.nodes.adaptive import Rhythm, choose_timeout
from wakepoint.nodes.context import Context
from wakepoint.nodes.errors import NodeSuspended
from wakepoint.nodes.events import TriggerEvent
from wakepoint.nodes.node import Kind, Node, fixed_field

_RHYTHM = "adaptive_timeout"


class TriggerNode(Node):
    """Waits for events. The base class waits, suspends and resumes by itself: override `on_event` for what an event
    means and `next_wake_time` for a timer. Authors who want the loop in their own hands override `process`.
    """

    kind: ClassVar[Kind] = "trigger"
    repeatable: ClassVar[bool] = True

    inactivity_timeout_seconds: float = Field(default=300, ge=0)
    """How long to wait in memory before the run is suspended."""
    max_events: int = fixed_field(default=1, ge=0)
    """After how many events the trigger is done; 0: never."""
    batch_size: int = Field(default=1, ge=1, le=1000)
    """How many events that are already there one passage takes at most; above 1 the output is a list of events."""
    batch_window_seconds: float | None = Field(default=None, ge=0)
    """How long after its first event a passage goes on collecting, in memory, until `batch_size` events are there. What
    is there already when the runner stops is a batch."""
    priority: int = Field(default=0, ge=-100, le=100)
    """Raises the claim of a run that this trigger wakes over other runs; larger goes first."""
    expires_after_seconds: float | None = Field(default=None, gt=0)
    """After how long a wait ends without an event: the node is skipped, and with it what stands only behind it; the
    rest of the run goes on."""
    stale_after_seconds: float | None = Field(default=None, gt=0)
    """After how long without an event the wait's health is STALE."""
    stale_policy: Literal["none", "expire", "cancel"] = "none"
    """What becomes of a stale wait: `none` (it waits on), `expire` (as `expires_after_seconds`), `cancel` (the run is
    cancelled)."""
    adaptive_timeout: bool = False
    """Derive the inactivity timeout from the intervals between events: one and a half times what nine of ten of the
    last 20 took, at least 10 s; 10 s where that would be more than an hour. The log says when it changes, and why."""

    _last_activity: datetime | None = PrivateAttr(default=None)
    _wake_time: datetime | None = PrivateAttr(default=None)
    _carry: dict[str, Any] = PrivateAttr(default_factory=dict)
    _rhythm: Rhythm | None = PrivateAttr(default=None)

    def bind(self, context: Context, resumed_state: Mapping[str, Any] | None) -> None:
        """See Node."""
        super().bind(context, resumed_state)
        if self.adaptive_timeout:
            self._adapt(context)
        self._update_activity_time()

    async def process(self, context: Context) -> Any:
        """Wait for one event, or for a batch of them, and return what `on_event` makes of it."""
        wake_time = self.next_wake_time(context)
        event = await (self.wait_for_trigger_event() if wake_time is None else self.wait_until(wake_time))
        if self.batch_size == 1:
            return await self.on_event(event, context)
        if self.batch_window_seconds is None:
            more = await context.host.take_pending(self.batch_size - 1)
        else:
            more = await context.host.collect(self.batch_size - 1, self.batch_window_seconds)
        return [await self.on_event(one, context) for one in (event, *more)]

    async def on_event(self, event: TriggerEvent, context: Context) -> Any:
        """What an event means: its return value is the node's output. The event itself, unless overridden."""
        return event

    def next_wake_time(self, context: Context) -> datetime | None:
        """When the node wakes by itself; None (the default): only events from outside wake it."""
        return None

    def state_to_save(self) -> dict[str, Any]:
        """What to keep when `process` lets TriggerInactivityTimeout pass, which suspends the node."""
        return {}

    def carry(self, state: Mapping[str, Any]) -> None:
        """Leave `state` for this trigger's next activation, where `context.carried` has it."""
        self._carry = dict(state)

    def carried_over(self) -> dict[str, Any]:
        """What `carry` was given in this passage, and what an adaptive timeout has to remember."""
        return self._carry if self._rhythm is None else {**self._carry, _RHYTHM: self._rhythm.as_mapping()}

    async def disregard(self, event: TriggerEvent, reason: str, *, wake_time: datetime | None = None) -> NoReturn:
        """Say in the log that an event changed nothing, and wait anew; it does not count towards `max_events`.

        The node suspends, with `state_to_save()`, so that the event is used up and the log is told in one transaction.
        """
        told = {key: event.get(key) for key in ("event_id", "source", "type")}
        self.context.host.record("SuspensionUpdated", {"disregarded_event": told, "reason": reason})
        metadata = {"trigger_node": True, "inactivity_suspension": False}
        raise NodeSuspended(f"An event was disregarded: {reason}", self.state_to_save(), metadata, wake_time)

    async def wait_for_trigger_event(self, timeout_seconds: float | None = None) -> TriggerEvent:
        """The oldest event for this node; after a resume the one that woke it, at once.

        Raises TriggerInactivityTimeout when none came within `timeout_seconds` (default: the inactivity timeout).
        """
        timeout = self.inactivity_timeout_seconds if timeout_seconds is None else timeout_seconds
        return await self._wait(timeout, None)

    async def wait_until(self, time: datetime) -> TriggerEvent:
        """The timer event of `time` (aware), or one that comes before it; after a resume the waking event, at once.

        Raises TriggerInactivityTimeout at once when `time` is further away than the inactivity timeout. The suspension
        that follows keeps `time`: the timer fires from the database and `process` runs anew.
        """
        if time.tzinfo is None:
            raise ValueError("wait_until needs an aware time, such as context.now() + timedelta(hours=1)")
        return await self._wait(self.inactivity_timeout_seconds, time)

    async def _wait(self, timeout: float, wake_time: datetime | None) -> TriggerEvent:
        self._wake_time = wake_time
        event = await self.context.host.wait(timeout=timeout, wake_time=wake_time)
        self._wake_time = None
        self._update_activity_time()
        if self._rhythm is not None:
            self._rhythm.event_came(self._now())
        return event

    def _adapt(self, context: Context) -> None:
        """Choose the inactivity timeout, and say so in the log where it is another one than before."""
        self._rhythm = Rhythm.of(context.carried.get(_RHYTHM))
        before = choose_timeout(self._rhythm.intervals[:-1], self.inactivity_timeout_seconds)
        chosen = choose_timeout(self._rhythm.intervals, self.inactivity_timeout_seconds)
        self.inactivity_timeout_seconds = chosen.seconds
        if chosen.seconds != before.seconds and not self.is_resuming():
            told = {"inactivity_timeout_seconds": chosen.seconds, "reason": f"adaptive timeout: {chosen.reason}"}
            context.host.record("SuspensionUpdated", told)

    async def send_trigger_event(self, event_data: Mapping[str, Any]) -> None:
        """Deliver an event to this node: it is in the inbox, durably, when this returns.

        `event_data` is a payload, or a whole event: `payload` with any of `event_id`, `source`, `type`, `timestamp`.
        """
        await self.context.host.send(event_data)
        self._update_activity_time()

    async def suspend_for_inactivity(self, additional_state: Mapping[str, Any] | None = None) -> NoReturn:
        """Suspend because nothing came; `additional_state` is there again as `get_saved_state()` after the wake-up.

        After a `wait_until` that timed out, the node also wakes at the time it was to wait for, which is kept as
        `next_run_time`.
        """
        self.on_suspend()
        wake_time = self._wake_time
        seconds = self.inactivity_timeout_seconds
        shown = int(seconds) if float(seconds).is_integer() else seconds
        timer = {} if wake_time is None else {"next_run_time": wake_time.isoformat()}
        raise NodeSuspended(
            f"Trigger inactivity timeout ({shown}s)",
            {"suspended_at": self._now().isoformat(), **timer, **(additional_state or {})},
            {"trigger_node": True, "inactivity_suspension": True, "inactivity_timeout_seconds": shown},
            wake_time,
        )

    async def process_trigger_resumption(self, context: Context) -> dict[str, Any]:
        """Take the waking event: `{status: "resumed", node_id, saved_state, resumed_at, trigger_event}`."""
        saved = await self.get_saved_state()
        event = await self.wait_for_trigger_event()
        return {
            "status": "resumed",
            "node_id": self.id,
            "saved_state": saved,
            "resumed_at": context.now().isoformat(),
            "trigger_event": event,
        }

    def get_inactivity_timeout(self) -> float:
        """Seconds to wait in memory before suspending."""
        return self.inactivity_timeout_seconds

    def set_inactivity_timeout(self, seconds: float) -> None:
        """Seconds to wait in memory before suspending; at least 1, else ValueError."""
        if seconds < 1:
            raise ValueError(f"the inactivity timeout must be at least 1 second, not {seconds}")
        self.inactivity_timeout_seconds = seconds

    def is_trigger_node(self) -> bool:
        """Whether events wake this node: yes."""
        return True

    def get_last_activity_time(self) -> datetime:
        """When the node last started, received or sent something."""
        if self._last_activity is None:
            self._last_activity = self._now()
        return self._last_activity

    def get_inactivity_duration(self) -> timedelta:
        """How long ago that was."""
        last = self.get_last_activity_time()
        return self._now() - last

    def should_suspend_for_inactivity(self) -> bool:
        """Whether the node has been idle for as long as it would wait in memory."""
        return self.get_inactivity_duration().total_seconds() >= self.inactivity_timeout_seconds

    def on_suspend(self) -> None:
        """Called just before the node suspends for inactivity; release here what must not outlive the frame."""

    def _update_activity_time(self) -> None:
        self._last_activity = self._now()

    def _now(self) -> datetime:
        # Outside of a run, as in an author's own unit test, there is no host to ask.
        return SystemClock().now() if self._context is None else self._context.now()
