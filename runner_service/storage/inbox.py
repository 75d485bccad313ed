"""The inbox: trigger events addressed to nodes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from runner_service.domain.history import Line
from runner_service.domain.runs import InboxEvent
from runner_service.domain.trigger_events import Address, TriggerEvent
from runner_service.storage.encoding import line_json, time_text
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "inbox.sql")


@dataclass(frozen=True, slots=True)
class AddressRow:
    """What an addressed node is doing."""

    exists: bool
    waiting: bool
    pending: int
    priority: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class NewInboxEvent:
    """An accepted event with its place in the inbox."""

    inbox_seq: int
    node_id: str
    event: TriggerEvent


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one transaction adds to one run's inbox; `wake` makes a suspended run ready."""

    run_id: str
    wake: bool
    priority: int
    lines: Sequence[Line]
    events: Sequence[NewInboxEvent]


@dataclass(frozen=True, slots=True)
class ChoiceKey:
    """The identity under which a wake-up by workflow keeps its choice of a run."""

    experiment_id: str
    workflow_id: str
    node_id: str
    source: str
    event_id: str


async def read_pending(
    connection: Connection, run_ids: Sequence[str], *, after: int = 0
) -> dict[str, list[InboxEvent]]:
    """Pending events by run, oldest first, beyond inbox_seq `after`."""
    pending: dict[str, list[InboxEvent]] = defaultdict(list)
    for row in await connection.fetch(QUERIES["read_pending"], [UUID(run_id) for run_id in run_ids], after):
        values = (row["inbox_seq"], row["node_id"], row["source"], row["event_id"], row["event"], row["expire_time"])
        event = InboxEvent(*values)
        pending[str(row["run_id"])].append(event)
    return pending


async def read_addresses(connection: Connection, addresses: Sequence[Address]) -> dict[Address, AddressRow]:
    """What the addressed nodes are doing; addresses in unknown runs are absent."""
    rows = await connection.fetch(
        QUERIES["read_addresses"], [UUID(a.run_id) for a in addresses], [a.node_id for a in addresses]
    )
    return {
        addresses[row["number"] - 1]: AddressRow(
            row["exists"], row["waiting"], row["pending"], row["priority"] or 0, row["as_of"]
        )
        for row in rows
    }


async def read_known_events(
    connection: Connection, identities: Sequence[tuple[Address, str, str]]
) -> set[tuple[Address, str, str]]:
    """Which (address, source, event_id) are in the inbox already, in whatever state."""
    rows = await connection.fetch(
        QUERIES["read_known_events"],
        [UUID(address.run_id) for address, _, _ in identities],
        [address.node_id for address, _, _ in identities],
        [source for _, source, _ in identities],
        [event_id for _, _, event_id in identities],
    )
    return {(Address(str(row["run_id"]), row["node_id"]), row["source"], row["event_id"]) for row in rows}


async def record_deliveries(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Write accepted events and wake their runs; the runs are locked by this transaction."""
    await connection.execute(QUERIES["record_deliveries"], [_delivery_json(delivery) for delivery in deliveries])


async def find_unfinished_runs(connection: Connection, workflow_id: str, experiment_id: str | None) -> list[str]:
    """Up to ten unfinished runs of the workflow."""
    rows = await connection.fetch(QUERIES["find_unfinished_runs"], workflow_id, experiment_id)
    return [str(row["run_id"]) for row in rows]


async def choose_run(connection: Connection, key: ChoiceKey, run_id: str) -> None:
    """Remember the choice, unless one stands already."""
    await connection.execute(
        QUERIES["choose_run"], key.experiment_id, key.workflow_id, key.node_id, key.source, key.event_id, UUID(run_id)
    )


async def get_choice(connection: Connection, key: ChoiceKey) -> str | None:
    """The run that was chosen for this identity before."""
    run_id = await connection.fetchval(
        QUERIES["get_choice"], key.experiment_id, key.workflow_id, key.node_id, key.source, key.event_id
    )
    return None if run_id is None else str(run_id)


def _delivery_json(delivery: Delivery) -> Mapping[str, Any]:
    return {
        "run_id": delivery.run_id,
        "wake": delivery.wake,
        "priority": delivery.priority,
        "lines": [line_json(line) for line in delivery.lines],
        "events": [
            {
                "inbox_seq": new.inbox_seq,
                "node_id": new.node_id,
                "source": new.event.source,
                "event_id": new.event.event_id,
                "event": new.event.as_node_sees_it(),
                "priority": new.event.priority,
                "expire_time": time_text(new.event.expire_time),
            }
            for new in delivery.events
        ],
    }
