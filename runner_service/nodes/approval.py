from typing import Any, ClassVar

import httpx
from pydantic import Field, PrivateAttr, field_validator

from runner_service.nodes.decisions import NoDecision, read_decision
from wakepoint.nodes import Context, NodeError, TriggerNode

_NOTIFY_TIMEOUT_SECONDS = 10.0


class Approval(TriggerNode):
    """Waits for a person's answer and goes on at `approved` or at `rejected`.

    The answer is an event whose payload has `approved` (true or false) or `decision` (`approve` or `reject`), and
    optionally `approver` and `comment`; the page at the node's URL `/hooks/<token>` sends such events. The output is
    the event, with these four in its payload. Any other event, and one by somebody who is not among the approvers, is
    told in the log and changes nothing. Names are claims: whoever has the URL or may call WakeUp can give any name.
    """

    output_names: ClassVar[tuple[str, ...]] = ("approved", "rejected")
    exclusive_outputs: ClassVar[bool] = True

    approvers: list[str] = Field(default_factory=list, max_length=1000)
    """Who may answer; nobody named: anybody."""
    notify_url: str | None = Field(default=None, pattern="^https?://", max_length=2_000)
    """Where to POST `{text, run_id, workflow_id, node_id, approvers, webhook_url}` when the wait begins, with an
    `Idempotency-Key` that stays the same if it has to be repeated."""

    _webhook_id: str = PrivateAttr(default="")

    @field_validator("batch_size")
    @classmethod
    def _one_at_a_time(cls, size: int) -> int:
        if size != 1:
            raise ValueError("must be 1: every answer is a decision of its own")
        return size

    async def process(self, context: Context) -> dict[str, Any]:
        """One of `{"approved": event}` and `{"rejected": event}`."""
        webhook = await context.register_webhook()
        self._webhook_id = webhook.webhook_id
        if self.notify_url is not None and not self.is_resuming():
            await self._notify(self.notify_url, webhook.url, context)
        event = await self.wait_for_trigger_event()
        try:
            decision = read_decision(event.get("payload"), self.approvers)
        except NoDecision as problem:
            await self.disregard(event, str(problem))
        return {decision.output: {**event, "payload": decision.as_mapping()}}

    async def _notify(self, url: str, webhook_url: str, context: Context) -> None:
        run = context.run
        body = {
            "text": f"{self.id} of workflow {run.workflow_id} waits for an approval: {webhook_url}",
            "run_id": run.run_id,
            "workflow_id": run.workflow_id,
            "node_id": self.id,
            "approvers": self.approvers,
            "webhook_url": webhook_url,
        }
        try:
            async with httpx.AsyncClient(timeout=_NOTIFY_TIMEOUT_SECONDS) as client:
                answer = await client.post(url, json=body, headers={"Idempotency-Key": context.idempotency_key})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NodeError(f"notify_url could not be reached: {type(error).__name__}: {error}") from None
        if not answer.is_success:
            raise NodeError(f"notify_url answered {answer.status_code}")

    def state_to_save(self) -> dict[str, Any]:
        """The webhook's id and the approvers. Not its URL: whoever knows that can answer."""
        return {"webhook_id": self._webhook_id, "approvers": self.approvers}
