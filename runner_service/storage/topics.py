"""Topics: their locks, who listens to them, what was published."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from runner_service.domain.listening import Listening, Topic
from runner_service.domain.trigger_events import TriggerEvent
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "topics.sql")


@dataclass(frozen=True, slots=True)
class WokenNode:
    """A node that an event reaches."""

    run_id: str
    workflow_id: str
    node_id: str


@dataclass(frozen=True, slots=True)
class Published:
    """Whom an event reaches: how many, and the first thousand of them."""

    woken_count: int
    woken: tuple[WokenNode, ...]


@dataclass(frozen=True, slots=True)
class NewPublication:
    """What is published. `ttl` None: not for later waits. `known_for`: how long at least a repetition is recognised."""

    experiment_id: str
    topic: str
    event: TriggerEvent
    event_bytes: int
    ttl: timedelta | None
    known_for: timedelta


async def lock_topics(connection: Connection, topics: Sequence[Topic]) -> None:
    """Lock the topics against all who register a wait, and all who publish."""
    await connection.execute(QUERIES["lock_topics"], *_columns(topics))


async def share_topics(connection: Connection, topics: Sequence[Topic]) -> set[Topic]:
    """Lock the topics against all who publish; those that are not there are absent."""
    rows = await connection.fetch(QUERIES["share_topics"], *_columns(topics))
    return {(row["experiment_id"], row["topic"]) for row in rows}


async def add_topics(connection: Connection, topics: Sequence[Topic]) -> None:
    """Make topics that are not there yet."""
    await connection.execute(QUERIES["add_topics"], *_columns(topics))


async def listen_to_topics(connection: Connection, run_id: str, nodes: Sequence[Listening]) -> None:
    """Register what the nodes listen to, and have what is retained brought to those that are new to a topic."""
    given = [{"run_id": run_id, "node_id": node.node_id, "topics": list(node.topics)} for node in nodes]
    await connection.execute(QUERIES["listen_to_topics"], given)


async def stop_listening(connection: Connection, run_id: str, node_ids: Sequence[str]) -> None:
    """The nodes take no more events."""
    await connection.execute(QUERIES["stop_listening"], UUID(run_id), list(node_ids))


async def publish(connection: Connection, new: NewPublication) -> Published | None:
    """Publish an event to those who listen; None: it was published before."""
    row = await connection.fetchrow(
        QUERIES["publish"],
        new.experiment_id,
        new.topic,
        new.event.source,
        new.event.event_id,
        new.event.as_node_sees_it(),
        new.event_bytes,
        new.event.priority,
        new.event.expire_time,
        new.ttl,
        new.known_for,
    )
    return None if row is None else _published(row)


async def get_published(connection: Connection, new: NewPublication) -> Published | None:
    """What was told of the event when it was published."""
    row = await connection.fetchrow(
        QUERIES["get_published"], new.experiment_id, new.topic, new.event.source, new.event.event_id
    )
    return None if row is None else _published(row)


async def forget_publications(connection: Connection, limit: int) -> int:
    """Remove up to `limit` events whose time is over; how many there were."""
    return _count(await connection.execute(QUERIES["forget_publications"], limit))


async def forget_topics(connection: Connection, limit: int) -> int:
    """Remove up to `limit` topics that nobody needs; how many there were."""
    return _count(await connection.execute(QUERIES["forget_topics"], limit))


def _columns(topics: Sequence[Topic]) -> tuple[list[str], list[str]]:
    return [experiment_id for experiment_id, _ in topics], [topic for _, topic in topics]


def _published(row: asyncpg.Record) -> Published:
    woken: list[list[Any]] = row["woken"]
    return Published(row["woken_count"], tuple(WokenNode(*one) for one in woken))


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
