"""The queries that every replica asks all the time use their indexes once there is something in the tables."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from runner_service.storage import inbox, log, runs, waits
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.ids import new_id

FILL = """
insert into runner.graphs (graph_hash, graph, node_ids) values ('\\x01', '{}', '{m}');
insert into runner.graphs (graph_hash, graph, node_ids)
    select decode(md5(n::text), 'hex'), '{}', '{m}' from generate_series(1, 2000) n;
insert into runner.replicas (replica_id, host, pid, lease_expire_time)
    select gen_random_uuid(), 'h', n, runner.stamp() from generate_series(1, 50) n;
insert into runner.runs (run_id, experiment_id, workflow_id, graph_hash, state, ready_time, owner_id, last_inbox_seq,
                         update_time, end_time)
    select gen_random_uuid(), 'e' || n % 50, 'w' || n % 500, '\\x01',
           (array['QUEUED', 'RUNNING', 'SUSPENDED', 'COMPLETED', 'COMPLETED', 'COMPLETED', 'CANCELLED'])[1 + n % 7],
           case when n % 7 = 0 then runner.stamp() - n * interval '1 second' end,
           case when n % 7 = 1 then (select replica_id from runner.replicas where pid = 1 + n % 50) end,
           1, runner.stamp() - n * interval '1 second', runner.stamp() - n * interval '1 second'
    from generate_series(1, 20000) n;
insert into runner.run_events (run_id, seq, event_type, payload, epoch)
    select run_id, seq, 'NodeStarted', '{}', 1 from runner.runs, generate_series(1, 5) seq;
insert into runner.inbox (run_id, inbox_seq, node_id, source, event_id, event, state)
    select run_id, 1, 'm', 's', 'e', '{}', case when state = 'SUSPENDED' then 'PENDING' else 'CONSUMED' end
    from runner.runs;
insert into runner.waits (run_id, node_id, activation, node_type, wake_time)
    select run_id, 'm', '1', 'Manual', runner.stamp() + (random() * 1000 - 1) * interval '1 day'
    from runner.runs where state in ('RUNNING', 'SUSPENDED');
analyze;
"""


async def plan_of(connection: Connection, statement: str, *values: Any) -> Mapping[str, Any]:
    # Generic, as a prepared statement's plan becomes: what it is asked with must not matter.
    await connection.execute("set local plan_cache_mode = force_generic_plan")
    found = await connection.fetchval("explain (format json) " + statement, *values)
    return dict(found[0]["Plan"])


def parts(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from parts(part)


async def some_runs(connection: Connection, count: int) -> list[Any]:
    rows = await connection.fetch("select run_id from runner.runs where state = 'SUSPENDED' limit $1", count)
    return [row["run_id"] for row in rows]


HOT = {
    "claim_runs": "runs_claimable",
    "claim_oldest_runs": "runs_claimable_oldest",
    "due_waits": "waits_due",
    "next_wake_seconds": "waits_due",
    "read_pending": "inbox_pending",
    "read_logs": "run_events_pkey",
    "read_waits": "waits_pkey",
    "lock_runs": "runs_pkey",
    "unseen_inboxes": "runs_owned",
    "owned_runs": "runs_owned",
    "recently_cancelled": "runs_cancelled",
    "read_known_events": "inbox_run_id_node_id_source_event_id_key",
}


async def test_hot_queries_use_their_indexes_and_read_no_table_from_end_to_end(runner_db: Database) -> None:
    async with runner_db.transaction() as connection:
        await connection.execute(FILL)
        run_ids = await some_runs(connection, 20)
        values: dict[str, tuple[Any, ...]] = {
            "claim_runs": (new_id(), 50, 0, 1),
            "claim_oldest_runs": (new_id(), 50, 0, 1),
            "due_waits": (500,),
            "next_wake_seconds": (),
            "read_pending": (run_ids, 0),
            "read_logs": (run_ids,),
            "read_waits": (run_ids,),
            "lock_runs": (run_ids,),
            "unseen_inboxes": (new_id(), timedelta(seconds=30)),
            "owned_runs": (new_id(),),
            "recently_cancelled": (timedelta(seconds=30),),
            "read_known_events": (run_ids, ["m"] * 20, ["s"] * 20, ["e"] * 20),
        }
        queries = {**runs.QUERIES, **waits.QUERIES, **inbox.QUERIES, **log.QUERIES}
        plans = {name: list(parts(await plan_of(connection, queries[name], *values[name]))) for name in HOT}
    for name, index in HOT.items():
        assert index in {part.get("Index Name") for part in plans[name]}, name
        scanned = {part["Relation Name"] for part in plans[name] if part["Node Type"] == "Seq Scan"}
        assert scanned <= {"replicas"}, f"{name} reads a table from end to end"
