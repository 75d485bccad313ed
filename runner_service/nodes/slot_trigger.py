from abc import abstractmethod
from datetime import datetime
from typing import Any, NoReturn

from pydantic import PrivateAttr, field_validator

from runner_service.nodes.slots import MissedPolicy, Reckoning, Slots, reckon
from wakepoint.nodes import Context, TriggerEvent, TriggerNode, wake_time_of


class SlotTrigger(TriggerNode):
    """The base of triggers that fire by the clock.

    `carried` holds `anchor`, where the slots begin, and `cursor`: every slot up to it has been dealt with.
    """

    _anchor: datetime | None = PrivateAttr(default=None)
    _cursor: datetime | None = PrivateAttr(default=None)

    @field_validator("batch_size", check_fields=False)
    @classmethod
    def _one_at_a_time(cls, size: int) -> int:
        if size != 1:
            raise ValueError("must be 1: every slot is an activation of its own")
        return size

    @abstractmethod
    def slots(self, anchor: datetime) -> Slots:
        """The slots, the first of which is at or after `anchor`."""

    @abstractmethod
    def before_first(self, anchor: datetime) -> datetime:
        """The cursor before any slot was dealt with."""

    def missed_policy(self) -> MissedPolicy:
        """What to do about slots that passed while nothing could fire."""
        return "once"

    def about(self) -> dict[str, Any]:
        """What to add to the payload of every event."""
        return {}

    async def process(self, context: Context) -> TriggerEvent:
        """Wait for the next slot, or for an event from outside, which does not use the slot up."""
        self._anchor, self._cursor = await self._recall(context)
        reckoning = reckon(self.slots(self._anchor), self._cursor, context.now(), self.missed_policy())
        if reckoning.given_up is not None:
            await self._give_up(reckoning, reckoning.given_up)
        if reckoning.wake_time is None:
            event = await self.wait_for_trigger_event()
        else:
            event = await self.wait_until(reckoning.wake_time)
        timer = wake_time_of(event)
        if timer is None:
            self.carry(self.state_to_save())
            return self._output(event, reckoning.target, early=True)
        # A timer that has fired decides, also where this host's clock is a little behind the database's.
        if reckoning.wake_time is None or max(timer, context.now()) < reckoning.wake_time:
            await self.disregard(event, "its slot has been dealt with", wake_time=reckoning.wake_time)
        self._tell(reckoning)
        self._cursor = reckoning.target
        self.carry(self.state_to_save())
        return self._output(event, reckoning.target, early=False)

    async def _give_up(self, reckoning: Reckoning, cursor: datetime) -> NoReturn:
        """Drop slots for good: a suspension of its own, so that they are told once and cannot come back."""
        self._tell(reckoning)
        self._cursor = cursor
        metadata = {"trigger_node": True, "inactivity_suspension": False}
        await self.suspend_workflow(
            "Missed slots were skipped", self.state_to_save(), metadata, wake_time=reckoning.wake_time
        )

    def _output(self, event: TriggerEvent, slot: datetime | None, *, early: bool) -> TriggerEvent:
        payload = event.get("payload")
        times = {
            "scheduled_time": None if slot is None else slot.isoformat(),
            "triggered_at": self.context.now().isoformat(),
            **self.about(),
        }
        given = payload if isinstance(payload, dict) else {} if payload is None else {"data": payload}
        return {**event, "payload": {**given, **times, **({"early": True} if early else {})}}

    def _tell(self, reckoning: Reckoning) -> None:
        for line in reckoning.missed:
            self.context.host.record("SlotMissed", line)

    async def _recall(self, context: Context) -> tuple[datetime, datetime]:
        """Anchor and cursor: from the suspension, else from the activation before, else from the beginning."""
        saved = await self.get_saved_state()
        known: dict[str, Any] = {**context.carried}
        known |= {key: saved[key] for key in ("anchor", "cursor") if key in saved}
        if "anchor" in known and "cursor" in known:
            return datetime.fromisoformat(known["anchor"]), datetime.fromisoformat(known["cursor"])
        # A trigger at the head of its graph counts from the run's creation, whatever crashed since; one that stands
        # behind other nodes counts from when they let it begin.
        anchor = context.now() if context.inputs else context.run.create_time
        return anchor, self.before_first(anchor)

    def state_to_save(self) -> dict[str, Any]:
        """Anchor and cursor."""
        known = {"anchor": self._anchor, "cursor": self._cursor}
        return {key: time.isoformat() for key, time in known.items() if time is not None}
