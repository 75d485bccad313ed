from typing import Any

from pydantic import Field

from wakepoint.nodes import Context, TriggerNode


class Topic(TriggerNode):
    """Waits for what is published to a topic of its experiment (PublishEvent), and gives out the event.

    It listens from its first wait until it has had its `max_events`; what is published while the work behind it runs is
    kept for its next activation. Events that were published before with a `ttl` that is not over reach it as well.
    """

    topic: str = Field(min_length=1, max_length=500)
    """The topic, for example `builds/${input.job.job_name}`."""

    async def process(self, context: Context) -> Any:
        """See TriggerNode; listens first."""
        context.host.listen([self.topic])
        return await super().process(context)

    def state_to_save(self) -> dict[str, Any]:
        """The topic as it was rendered."""
        return {"topic": self.topic}
