"""Runs and their graphs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from runner_service.domain.history import Line
from runner_service.domain.projection import RunState
from runner_service.domain.runs import ClaimedRun, Run
from runner_service.storage.encoding import hex_bytes, line_json, time_text
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "runs.sql")


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be created; `behind`: others with its concurrency key go before it."""

    run_id: str
    experiment_id: str
    workflow_id: str
    graph_hash: bytes
    input: Any
    source: Mapping[str, Any]
    lines: Sequence[Line]
    concurrency_key: str | None = None
    turn: int | None = None
    behind: bool = False
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewGraph:
    """A graph to be stored under its hash, unless it is there."""

    graph_hash: bytes
    graph: Mapping[str, Any]
    node_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The key under which a StartRun is remembered, and the hash of what it asked for. `skipped`: it made no run."""

    experiment_id: str
    request_id: str
    body_hash: bytes
    run_id: str
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class LockedRun:
    """What a decision about a run may look at."""

    run_id: str
    experiment_id: str
    workflow_id: str
    state: RunState
    last_inbox_seq: int
    closed_nodes: frozenset[str]
    owner_id: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """A run's state, and the number of the last line of its log."""

    state: RunState
    last_seq: int


@dataclass(frozen=True, slots=True)
class RunFilter:
    """None and empty: everything."""

    experiment_id: str | None = None
    workflow_id: str | None = None
    states: tuple[str, ...] = ()


async def insert_graphs(connection: Connection, graphs: Sequence[NewGraph]) -> None:
    """Store the graphs that are not there yet."""
    rows = [
        {"graph_hash": hex_bytes(g.graph_hash), "graph": g.graph, "node_ids": list(g.node_ids)}
        for g in sorted(graphs, key=lambda g: g.graph_hash)
    ]
    await connection.execute(QUERIES["insert_graphs"], rows)


async def get_graphs(connection: Connection, hashes: Sequence[bytes]) -> dict[bytes, Mapping[str, Any]]:
    """The stored graphs by hash; unknown hashes are absent."""
    rows = await connection.fetch(QUERIES["get_graphs"], list(hashes))
    return {row["graph_hash"]: row["graph"] for row in rows}


async def insert_start_requests(connection: Connection, requests: Sequence[StartRequest]) -> set[str]:
    """The run_ids of the requests that are new."""
    ordered = sorted(requests, key=lambda r: (r.experiment_id, r.request_id))
    rows = await connection.fetch(QUERIES["insert_start_requests"], [_request_json(r) for r in ordered])
    return {str(row["run_id"]) for row in rows}


async def get_start_requests(
    connection: Connection, requests: Sequence[StartRequest]
) -> dict[tuple[str, str], StartRequest]:
    """What is remembered under the requests' keys."""
    rows = await connection.fetch(QUERIES["get_start_requests"], [_request_json(r) for r in requests])
    return {
        (row["experiment_id"], row["request_id"]): StartRequest(
            row["experiment_id"], row["request_id"], row["body_hash"], str(row["run_id"]), row["skipped"]
        )
        for row in rows
    }


async def insert_runs(connection: Connection, runs: Sequence[NewRun]) -> None:
    """Create runs in state QUEUED with the first lines of their logs."""
    rows = [
        {
            "run_id": run.run_id,
            "experiment_id": run.experiment_id,
            "workflow_id": run.workflow_id,
            "graph_hash": hex_bytes(run.graph_hash),
            "input": run.input,
            "source": dict(run.source),
            "lines": [line_json(line) for line in run.lines],
            "concurrency_key": run.concurrency_key,
            "turn": run.turn,
            "behind": run.behind,
            "deadline": time_text(run.deadline),
        }
        for run in runs
    ]
    await connection.execute(QUERIES["insert_runs"], rows)


async def get_runs(connection: Connection, run_ids: Sequence[str]) -> dict[str, Run]:
    """The runs by id; unknown ids are absent."""
    rows = await connection.fetch(QUERIES["get_runs"], [UUID(run_id) for run_id in run_ids])
    return {str(row["run_id"]): run_of(row) for row in rows}


async def as_of(connection: Connection) -> datetime:
    """The database's time, for a walk through a list that begins now."""
    now: datetime = await connection.fetchval(QUERIES["as_of"])
    return now


async def read_progress(connection: Connection, run_id: str) -> Progress | None:
    """How far the run is; None: there is none."""
    row = await connection.fetchrow(QUERIES["read_progress"], UUID(run_id))
    return None if row is None else Progress(RunState(row["state"]), row["last_seq"])


async def get_node_ids(connection: Connection, graph_hash: bytes) -> tuple[str, ...]:
    """The ids of a stored graph's nodes, in its order."""
    return tuple(await connection.fetchval(QUERIES["get_node_ids"], graph_hash) or ())


async def list_runs(
    connection: Connection, where: RunFilter, *, before: str | None, limit: int, as_of: datetime
) -> list[Run]:
    """Newest first, only runs created by `as_of`."""
    rows = await connection.fetch(
        QUERIES["list_runs"],
        where.experiment_id,
        where.workflow_id,
        list(where.states),
        UUID(before) if before else None,
        limit,
        as_of,
    )
    return [run_of(row) for row in rows]


async def lock_runs(
    connection: Connection, run_ids: Sequence[str], *, skip_locked: bool = False
) -> dict[str, LockedRun]:
    """Lock the runs, ascending; those that do not exist (or, with skip_locked, are locked) are absent."""
    name = "lock_runs_that_are_free" if skip_locked else "lock_runs"
    rows = await connection.fetch(QUERIES[name], [UUID(run_id) for run_id in run_ids])
    return {
        str(row["run_id"]): LockedRun(
            run_id=str(row["run_id"]),
            experiment_id=row["experiment_id"],
            workflow_id=row["workflow_id"],
            state=RunState(row["state"]),
            last_inbox_seq=row["last_inbox_seq"],
            closed_nodes=frozenset(row["closed_nodes"]),
            owner_id=None if row["owner_id"] is None else str(row["owner_id"]),
        )
        for row in rows
    }


async def claim_runs(
    connection: Connection, replica_id: str, limit: int, *, oldest: bool, crashes: range
) -> list[ClaimedRun]:
    """Take up to `limit` ready runs: by priority, or the oldest whatever their priority. Only such as took their
    replica down a number of times that lies in `crashes`.
    """
    name = "claim_oldest_runs" if oldest else "claim_runs"
    rows = await connection.fetch(QUERIES[name], UUID(replica_id), limit, crashes.start, crashes.stop - 1)
    return [
        ClaimedRun(
            run_id=str(row["run_id"]),
            experiment_id=row["experiment_id"],
            workflow_id=row["workflow_id"],
            graph_hash=row["graph_hash"],
            epoch=row["epoch"],
            last_inbox_seq=row["last_inbox_seq"],
            crashes=row["crashes"],
            create_time=row["create_time"],
            waited=None if row["fresh"] else row["waited"],
        )
        for row in rows
    ]


async def cancel_run(connection: Connection, run_id: str, reason: str) -> bool:
    """Whether the run was unfinished, and is cancelled now."""
    return await connection.fetchval(QUERIES["cancel_run"], UUID(run_id), reason) is not None


async def retry_run(connection: Connection, run_id: str, reason: str) -> bool:
    """Whether the run had failed, and is ready again."""
    return await connection.fetchval(QUERIES["retry_run"], UUID(run_id), reason) is not None


async def recently_cancelled(connection: Connection, within: timedelta) -> set[str]:
    """The runs cancelled in the last `within`."""
    return {str(row["run_id"]) for row in await connection.fetch(QUERIES["recently_cancelled"], within)}


async def unseen_inboxes(connection: Connection, replica_id: str, within: timedelta) -> dict[str, int]:
    """The last inbox_seq of each run that the replica holds and that changed in the last `within`."""
    rows = await connection.fetch(QUERIES["unseen_inboxes"], UUID(replica_id), within)
    return {str(row["run_id"]): row["last_inbox_seq"] for row in rows}


async def owned_runs(connection: Connection, replica_id: str) -> set[str]:
    """The runs that the replica holds, as the database has it."""
    return {str(row["run_id"]) for row in await connection.fetch(QUERIES["owned_runs"], UUID(replica_id))}


def _request_json(request: StartRequest) -> dict[str, Any]:
    return {
        "experiment_id": request.experiment_id,
        "request_id": request.request_id,
        "body_hash": hex_bytes(request.body_hash),
        "run_id": request.run_id,
    }


def run_of(row: asyncpg.Record) -> Run:
    """A row of runner.runs."""
    return Run(
        run_id=str(row["run_id"]),
        experiment_id=row["experiment_id"],
        workflow_id=row["workflow_id"],
        graph_hash=row["graph_hash"],
        state=RunState(row["state"]),
        input=row["input"],
        source=row["source"],
        outputs=row["outputs"],
        error=row["error"],
        attempt=row["attempt"],
        first_seq=row["first_seq"],
        last_seq=row["last_seq"],
        suspended_node_ids=tuple(row["suspended_node_ids"]),
        create_time=row["create_time"],
        start_time=row["start_time"],
        update_time=row["update_time"],
        end_time=row["end_time"],
        deadline=row["deadline"],
    )
