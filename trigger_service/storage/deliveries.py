"""Job events that the runner has not been told yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

from trigger_service.domain.deliveries import Delivery
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

_SQL = sql.load("trigger_service.storage", "deliveries.sql")


async def lease(connection: Connection, length: timedelta, limit: int) -> list[Delivery]:
    """Take due events, at most `limit`, for `length`; oldest first."""
    rows = await connection.fetch(_SQL["lease_deliveries"], length, limit)
    return [Delivery(**(dict(row) | {"attributes": _object(row["attributes"])})) for row in rows]


async def end(connection: Connection, event_keys: Collection[UUID]) -> None:
    """These need not be told any more."""
    await connection.execute(_SQL["end_deliveries"], list(event_keys))


async def put_off(connection: Connection, delays: Mapping[UUID, timedelta]) -> None:
    """Tell these again, each after its delay."""
    await connection.execute(_SQL["put_off_deliveries"], list(delays), list(delays.values()))


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
