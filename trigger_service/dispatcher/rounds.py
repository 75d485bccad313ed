"""Loops that do one round of work after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from wakepoint.chassis.errors import Unavailable
from wakepoint.chassis.tasks import Poke

_log = structlog.stdlib.get_logger(__name__)


class Rounds:
    """`do_round` says whether there may be more to do; if not, a poke or `poll_seconds` start the next round.

    A database that is away is waited for. Cancelling a round takes back its transaction, so that ending needs no care.
    """

    def __init__(self, name: str, do_round: Callable[[], Awaitable[bool]], poke: Poke, poll_seconds: float) -> None:
        self.name = name
        self._do_round = do_round
        self._poke = poke
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                is_busy = await self._do_round()
            except Unavailable as error:
                _log.warning("the database is away", loop=self.name, error=error.message)
                is_busy = False
            if not is_busy:
                await self._poke.wait(self._poll_seconds)
