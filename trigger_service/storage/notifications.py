"""Telling other replicas to look now. Only saves them time: they look by themselves once a second."""

from __future__ import annotations

from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "notifications.sql")

FIRINGS_DUE = "trigger_firings_due"


async def notify(connection: Connection, channel: str, payload: str) -> None:
    """Notify whoever listens on the channel."""
    await connection.execute(_SQL["notify"], channel, payload)
