from runner_service.nodes.gathering import Gathering


class WaitForAny(Gathering):
    """Waits, as one row in the database, until an event has come for any of its topics, or for `count` of them.

    Otherwise as WaitForAll.
    """

    def needed(self) -> int:
        """One, unless `count` says otherwise."""
        return self.count or 1
