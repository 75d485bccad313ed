from typing import Any

from pydantic import Field

from wakepoint.nodes import Context, Node, Template


class PublishEvent(Node):
    """Publishes an event to a topic of its experiment, once in each activation however often it has to be repeated.

    It reaches the nodes that listen to the topic at that moment. The output is `{topic, event_id, woken_count}`.
    """

    topic: str = Field(min_length=1, max_length=500)
    """The topic, for example `models/${inputs.input.model_id}`."""
    payload: Template = None
    """The event's payload, in which strings may hold `${CEL}`; what arrives at `input` unless given."""

    async def process(self, context: Context) -> dict[str, Any]:
        """Publish under the idempotency key, by which a repetition is known."""
        payload = self.payload if "payload" in self.model_fields_set else context.inputs.get("input")
        event_id = context.idempotency_key
        woken = await context.host.publish(self.topic, {"event_id": event_id, "payload": payload})
        return {"topic": self.topic, "event_id": event_id, "woken_count": woken}
