from runner_service.nodes.gathering import Gathering


class WaitForAll(Gathering):
    """Waits, as one row in the database, until an event has come for each of its topics, or for `count` of them.

    It listens from its first wait on, gathers over as many suspensions as it takes, and of each topic the newest event
    counts. The output is `{events: {topic: event}, missing: [topic]}`. What it gathers is kept in its state: events
    that make more than 60 KiB together lose their content, the largest first, and tell as `payload_omitted` how many
    bytes they had. For one node an event is one event: published to two topics under the same id it counts for the
    first.
    """

    def needed(self) -> int:
        """All of them, unless `count` says otherwise."""
        return self.count or len(self.topics)
