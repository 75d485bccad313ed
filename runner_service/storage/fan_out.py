"""Published events on their way to the inboxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from runner_service.domain.trigger_events import Address, TriggerEvent
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "fan_out.sql")


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """An event that is to be put into an inbox of this run: a candidate, until the run is locked."""

    fan_out_id: int
    run_id: str
    run_is_gone: bool


@dataclass(frozen=True, slots=True)
class Addressed:
    """A publication for a node."""

    fan_out_id: int
    address: Address
    publication_id: int


async def due_fan_out(connection: Connection, limit: int, max_bytes: int) -> list[DueDelivery]:
    """Up to `limit` deliveries, the oldest first, none of which begins beyond the first `max_bytes` of events."""
    rows = await connection.fetch(QUERIES["due_fan_out"], limit, max_bytes)
    return [DueDelivery(row["fan_out_id"], str(row["run_id"]), row["run_is_gone"]) for row in rows]


async def read_fan_out(connection: Connection, fan_out_ids: Sequence[int]) -> list[Addressed]:
    """Those of the deliveries that are still to be made, in their order."""
    rows = await connection.fetch(QUERIES["read_fan_out"], list(fan_out_ids))
    return [
        Addressed(row["fan_out_id"], Address(str(row["run_id"]), row["node_id"]), row["publication_id"]) for row in rows
    ]


async def read_publications(connection: Connection, publication_ids: Sequence[int]) -> dict[int, TriggerEvent]:
    """The events by their publication ids."""
    rows = await connection.fetch(QUERIES["read_publications"], list(publication_ids))
    return {
        row["publication_id"]: TriggerEvent.from_seen(
            row["event"], priority=row["priority"], expire_time=row["expire_time"]
        )
        for row in rows
    }


async def add_fan_out(connection: Connection, deliveries: Sequence[tuple[int, str, str]]) -> None:
    """Deliveries to be made, as (publication_id, run_id, node_id), in this order."""
    await connection.execute(
        QUERIES["add_fan_out"],
        [publication_id for publication_id, _, _ in deliveries],
        [UUID(run_id) for _, run_id, _ in deliveries],
        [node_id for _, _, node_id in deliveries],
    )


async def remove_fan_out(connection: Connection, fan_out_ids: Sequence[int]) -> None:
    """The deliveries were made, or have become pointless."""
    await connection.execute(QUERIES["remove_fan_out"], list(fan_out_ids))


async def postpone_fan_out(connection: Connection, fan_out_ids: Sequence[int], pause: timedelta) -> None:
    """Try the deliveries again later."""
    await connection.execute(QUERIES["postpone_fan_out"], list(fan_out_ids), pause)
