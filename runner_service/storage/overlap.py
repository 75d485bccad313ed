"""Runs that exclude each other, and runs with a deadline."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "overlap.sql")


class Key(NamedTuple):
    """Runs with the same key may exclude each other."""

    experiment_id: str
    workflow_id: str
    concurrency_key: str


async def lock_keys(connection: Connection, wanted: Counter[Key]) -> dict[Key, int]:
    """Lock the keys and give out as many turns of each as it counts; the first turn that was given out."""
    keys = sorted(wanted)
    columns = [list(column) for column in zip(*keys, strict=True)]
    rows = await connection.fetch(QUERIES["lock_keys"], *columns, [wanted[key] for key in keys])
    last = {Key(row["experiment_id"], row["workflow_id"], row["concurrency_key"]): row["last_turn"] for row in rows}
    return {key: last[key] - wanted[key] + 1 for key in keys}


async def unfinished_of_keys(connection: Connection, keys: Sequence[Key]) -> Mapping[Key, list[str]]:
    """The unfinished runs of each key, in their order; the keys are locked by this transaction."""
    found: dict[Key, list[str]] = defaultdict(list)
    columns = [list(column) for column in zip(*keys, strict=True)]
    for row in await connection.fetch(QUERIES["unfinished_of_keys"], *columns):
        found[Key(row["experiment_id"], row["workflow_id"], row["concurrency_key"])].append(str(row["run_id"]))
    return found


async def mark_skipped(connection: Connection, requests: Sequence[tuple[str, str]]) -> None:
    """Remember of these (experiment_id, request_id) that they started nothing."""
    columns = ([experiment_id for experiment_id, _ in requests], [request_id for _, request_id in requests])
    await connection.execute(QUERIES["mark_skipped"], *columns)


async def next_in_turn(connection: Connection, limit: int) -> list[str]:
    """Runs before which nobody stands in line any more: candidates, to be locked first."""
    return [str(row["run_id"]) for row in await connection.fetch(QUERIES["next_in_turn"], limit)]


async def let_in(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    """Make runs ready that this transaction has locked; those that really stood in line."""
    return [str(row["run_id"]) for row in await connection.fetch(QUERIES["let_in"], [UUID(i) for i in run_ids])]


async def forget_keys(connection: Connection, limit: int) -> None:
    """Remove rows of keys that have long had no unfinished run."""
    await connection.execute(QUERIES["forget_keys"], limit)


async def overdue_runs(connection: Connection, limit: int) -> list[str]:
    """Unfinished runs whose deadline has passed: candidates, to be locked first."""
    return [str(row["run_id"]) for row in await connection.fetch(QUERIES["overdue_runs"], limit)]


async def fail_overdue(connection: Connection, run_ids: Sequence[str], reason: str) -> list[str]:
    """Fail those of the locked runs whose deadline has passed; their ids."""
    rows = await connection.fetch(QUERIES["fail_overdue"], [UUID(run_id) for run_id in run_ids], reason)
    return [str(row["run_id"]) for row in rows]
