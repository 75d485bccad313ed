"""Telling other replicas to look now. Only saves them time: they look by themselves once a second."""

from collections.abc import Sequence

from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "notifications.sql")


async def notify(connection: Connection, notices: Sequence[tuple[str, str]]) -> None:
    """Notify whoever listens; each notice is (channel, payload)."""
    await connection.execute(QUERIES["notify"], [channel for channel, _ in notices], [text for _, text in notices])
