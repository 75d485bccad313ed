"""Take job events that the runner has not been told yet, and record what came of telling it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from trigger_service.domain.deliveries import Delivery, Told
from trigger_service.storage import deliveries
from wakepoint.chassis.database import Connection, Database


async def lease_deliveries(database: Database, length: timedelta, limit: int) -> list[Delivery]:
    """Take due events, at most `limit`. Those of which nothing is recorded within `length` are due again then."""

    async def work(connection: Connection) -> list[Delivery]:
        return await deliveries.lease(connection, length, limit)

    return await database.run(work)


async def record_deliveries(
    database: Database, leased: Sequence[Delivery], told: Sequence[Told], delay_of: Callable[[int], timedelta]
) -> None:
    """Record what came of telling each. `delay_of`: how long an event waits whose nth attempt failed."""
    await database.run(partial(_record, leased, told, delay_of))


async def _record(
    leased: Sequence[Delivery], told: Sequence[Told], delay_of: Callable[[int], timedelta], connection: Connection
) -> None:
    pairs = list(zip(leased, told, strict=True))
    ended = [item.event_key for item, outcome in pairs if outcome in {Told.TAKEN, Told.REFUSED}]
    if ended:
        await deliveries.end(connection, ended)
    put_off = {item.event_key: delay_of(item.attempts) for item, outcome in pairs if outcome is Told.FAILED}
    put_off |= {item.event_key: timedelta(0) for item, outcome in pairs if outcome is Told.AWAY}
    if put_off:
        await deliveries.put_off(connection, put_off)
