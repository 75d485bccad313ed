from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from pydantic import AwareDatetime, Field, model_validator

from wakepoint.nodes import Context, Kind, Node, TriggerInactivityTimeout, wake_time_of

_CENTURY_SECONDS = 3_155_760_000


class Delay(Node):
    """Waits for a span or until a time, as one row in the database, and passes on what arrived at `input`.

    Where nothing arrived, the output is `{"wake_time": …}`.
    """

    kind: ClassVar[Kind] = "wait"
    repeatable: ClassVar[bool] = True

    seconds: float | None = Field(default=None, ge=0, le=_CENTURY_SECONDS)
    """How long to wait, from the moment the node starts."""
    until: AwareDatetime | None = None
    """Until when to wait: ISO 8601 with an offset, for example `2026-12-24T18:00:00+01:00`."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.seconds is None) == (self.until is None):
            raise ValueError("exactly one of seconds and until must be given")
        return self

    async def process(self, context: Context) -> Any:
        """Suspend until the time has come."""
        wake_time = await self._wake_time(context)
        fired = await self._woken_for(wake_time, context)
        if not fired and context.now() < wake_time:
            state = {"wake_time": wake_time.isoformat()}
            await self.suspend_workflow(f"Delay until {wake_time.isoformat()}", state, wake_time=wake_time)
        return context.inputs.get("input", {"wake_time": wake_time.isoformat()})

    async def _wake_time(self, context: Context) -> datetime:
        saved = (await self.get_saved_state()).get("wake_time")
        if saved is not None:
            return datetime.fromisoformat(saved)
        if self.until is not None:
            return self.until
        assert self.seconds is not None
        return context.now() + timedelta(seconds=self.seconds)

    async def _woken_for(self, wake_time: datetime, context: Context) -> bool:
        """Whether the timer of `wake_time` has fired: it decides, also where this host's clock is a little behind."""
        if not self.is_resuming():
            return False
        try:
            event = await context.host.wait(timeout=0, wake_time=None)
        except TriggerInactivityTimeout:
            return False
        fired = wake_time_of(event)
        return fired is not None and fired >= wake_time
