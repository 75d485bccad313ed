from typing import Any, Literal, Self

from pydantic import PrivateAttr, model_validator

from wakepoint.nodes import Context, TriggerNode, fixed_field

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


def _post_only() -> list[Method]:
    return ["POST"]


class Webhook(TriggerNode):
    """Waits for a request to its URL `/hooks/<token>`, which stays the same over suspensions and restarts.

    The event's payload is the body: a JSON value, or the fields of a form. Any other body is in the event's
    `body_base64`, with its `content_type`; a request without a body gives the fields of its query. A header
    `Idempotency-Key`, `webhook-id` or `X-GitHub-Delivery` becomes the event's id, so that a repeated delivery is a
    DUPLICATE.
    """

    methods: list[Method] = fixed_field(default_factory=_post_only, min_length=1)
    """The HTTP methods that are taken; others are answered with 405."""
    scope: Literal["run", "workflow"] = fixed_field(default="run")
    """`run`: each run has a URL of its own. `workflow`: one URL that stays; it wakes the workflow's one unfinished run,
    and answers 409 while there are several.
    """
    signature: Literal["none", "secret", "standard", "github"] = fixed_field(default="none")
    """How a sender proves itself: by the header `Wakepoint-Secret`, a Standard Webhooks signature, or GitHub's."""
    secret_ref: str = fixed_field(default="", pattern="^[A-Za-z0-9_]*$", max_length=100)
    """Which secret: `NAME` is read from the runner's environment variable `RUNNER_SECRET_NAME`."""

    _webhook_id: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _secret_fits_signature(self) -> Self:
        if self.signature != "none" and not self.secret_ref:
            raise ValueError(f"signature {self.signature!r} needs a secret_ref")
        if self.signature == "none" and self.secret_ref:
            raise ValueError("secret_ref is given but signature is 'none': nothing would be checked")
        return self

    async def process(self, context: Context) -> Any:
        """See TriggerNode; registers the webhook first."""
        self._webhook_id = (await context.register_webhook()).webhook_id
        return await super().process(context)

    def state_to_save(self) -> dict[str, Any]:
        """The webhook's id. Not its URL: whoever knows that can wake the run."""
        return {"webhook_id": self._webhook_id}
