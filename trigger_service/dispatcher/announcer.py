"""Tells the other replicas that firings are due."""

from __future__ import annotations

import structlog

from trigger_service.storage.notifications import FIRINGS_DUE, notify
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.tasks import Poke

_log = structlog.stdlib.get_logger(__name__)


class Announcer:
    """One loop with a database connection of its own, so that telling others never delays a commit.

    However many commits queue firings while one notification is under way, the next one speaks for all of them.
    """

    def __init__(self, database: Database, replica_id: str, poke: Poke) -> None:
        self._database = database
        self.replica_id = replica_id
        self._poke = poke

    def announce(self) -> None:
        """Have it told soon."""
        self._poke.poke()

    async def run(self) -> None:
        """Tell until cancelled. A database that is away is passed over: everybody polls as well."""
        while True:
            await self._poke.wait()
            try:
                async with self._database.connection() as connection:
                    await notify(connection, FIRINGS_DUE, self.replica_id)
            except WakepointError as error:
                _log.warning("other replicas could not be told of firings", error=error.message)
