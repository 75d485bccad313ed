"""Counts for those who watch the runner."""

from dataclasses import dataclass
from datetime import timedelta

from runner_service.domain.projection import RunState
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "stats.sql")


@dataclass(frozen=True, slots=True)
class Stats:
    """`ready_depth`: runs that could be claimed now; `oldest_ready_age`: None if there is none."""

    runs: dict[RunState, int]
    waits: dict[str, int]
    ready_depth: int
    oldest_ready_age: timedelta | None


async def read_stats(connection: Connection, experiment_id: str | None) -> Stats:
    """How things stand; None: in all experiments."""
    runs = await connection.fetch(QUERIES["count_runs"], experiment_id)
    waits = await connection.fetch(QUERIES["count_waits"], experiment_id)
    ready = await connection.fetchrow(QUERIES["ready"], experiment_id)
    assert ready is not None, "an aggregate always has a row"
    return Stats(
        runs={RunState(row["state"]): row["count"] for row in runs},
        waits={row["node_type"]: row["count"] for row in waits},
        ready_depth=ready["depth"],
        oldest_ready_age=ready["oldest_age"],
    )
