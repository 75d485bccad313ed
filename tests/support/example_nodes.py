"""Trigger nodes with the loop in their author's own hands, as people write them against `wakepoint.nodes`."""

from datetime import datetime
from typing import Any

from cronsim import CronSim

from wakepoint.nodes import Context, TriggerInactivityTimeout, TriggerNode


class IntervalTrigger(TriggerNode):
    """Fires when something is sent to it."""

    interval_seconds: int = 60

    async def process(self, context: Context) -> dict[str, Any]:
        if self.is_resuming():
            return await self.process_trigger_resumption(context)
        try:
            event = await self.wait_for_trigger_event(timeout_seconds=self.get_inactivity_timeout())
            return {
                "triggered_at": event["timestamp"],
                "interval_seconds": self.interval_seconds,
                "event_data": event,
            }
        except TriggerInactivityTimeout:
            await self.suspend_for_inactivity(
                {"interval_seconds": self.interval_seconds, "last_trigger": context.now().isoformat()}
            )


class WebhookTrigger(TriggerNode):
    """Fires when its webhook is called."""

    webhook_url: str = ""
    webhook_id: str = ""

    async def process(self, context: Context) -> dict[str, Any]:
        if self.is_resuming():
            saved_state = await self.get_saved_state()
            self.webhook_id = saved_state["webhook_id"]
        if not self.webhook_id:
            webhook = await context.register_webhook()
            self.webhook_id, self.webhook_url = webhook.webhook_id, webhook.url
        try:
            event = await self.wait_for_trigger_event()
            return {
                "webhook_id": self.webhook_id,
                "webhook_data": event["payload"],
                "timestamp": event["timestamp"],
            }
        except TriggerInactivityTimeout:
            await self.suspend_for_inactivity({"webhook_id": self.webhook_id, "webhook_url": self.webhook_url})

    async def on_webhook_received(self, payload: dict[str, Any]) -> None:
        await self.send_trigger_event({"payload": payload, "timestamp": "2026-01-01T00:00:07+00:00"})


class ScheduleTrigger(TriggerNode):
    """Fires at the times of a cron expression."""

    schedule_cron: str = "0 * * * *"

    async def process(self, context: Context) -> dict[str, Any]:
        next_run = next(CronSim(self.schedule_cron, context.now()))
        if self.is_resuming():
            saved_state = await self.get_saved_state()
            next_run = datetime.fromisoformat(saved_state["next_run_time"])
        try:
            event = await self.wait_until(next_run)
            return {
                "scheduled_time": next_run.isoformat(),
                "triggered_at": context.now().isoformat(),
                "event": event,
            }
        except TriggerInactivityTimeout:
            await self.suspend_for_inactivity(
                {"next_run_time": next_run.isoformat(), "schedule_cron": self.schedule_cron}
            )
