-- name: insert_graphs
-- Sorted by the caller, so that two batches with the same graphs cannot deadlock.
insert into runner.graphs (graph_hash, graph, node_ids)
select g.graph_hash, g.graph, g.node_ids
from jsonb_to_recordset($1::jsonb) as g (graph_hash bytea, graph jsonb, node_ids text[])
on conflict (graph_hash) do nothing;

-- name: get_graphs
select graph_hash, graph from runner.graphs where graph_hash = any($1::bytea[]);

-- name: insert_start_requests
-- A concurrent duplicate waits here for the first one's commit and then comes back with nothing.
insert into runner.start_requests (experiment_id, request_id, body_hash, run_id)
select experiment_id, request_id, body_hash, run_id
from jsonb_to_recordset($1::jsonb) as r (experiment_id text, request_id text, body_hash bytea, run_id uuid)
on conflict (experiment_id, request_id) do nothing
returning run_id;

-- name: get_start_requests
-- A statement of its own: it sees what insert_start_requests waited for.
select r.experiment_id, r.request_id, s.body_hash, s.run_id, s.skipped
from jsonb_to_recordset($1::jsonb) as r (experiment_id text, request_id text)
join runner.start_requests s using (experiment_id, request_id);

-- name: insert_runs
with given as (
    select * from jsonb_to_recordset($1::jsonb) as g (
        run_id uuid, experiment_id text, workflow_id text, graph_hash bytea, input jsonb, source jsonb, lines jsonb,
        concurrency_key text, turn bigint, behind boolean, deadline timestamptz)
),
created as (
    insert into runner.runs (run_id, experiment_id, workflow_id, graph_hash, state, input, source, last_seq, ready_time,
                             concurrency_key, turn, behind, deadline)
    select run_id, experiment_id, workflow_id, graph_hash, 'QUEUED', input, source, jsonb_array_length(lines),
           case when not behind then runner.stamp() end, concurrency_key, turn, behind, deadline
    from given
    returning run_id
)
insert into runner.run_events (run_id, seq, event_type, node_id, activation, payload, epoch)
select g.run_id, line.number, line.value ->> 't', null, null, nullif(line.value -> 'p', 'null'), 0
from created
join given g using (run_id)
cross join lateral jsonb_array_elements(g.lines) with ordinality as line (value, number);

-- name: get_runs
select * from runner.runs where run_id = any($1::uuid[]);

-- name: as_of
-- The time as of which a walk through a list begins.
select runner.as_of();

-- name: read_progress
-- All that a follower of a log asks for while nothing happens.
select state, last_seq from runner.runs where run_id = $1;

-- name: get_node_ids
-- In the order of the graph, without the graph.
select node_ids from runner.graphs where graph_hash = $1;

-- name: list_runs
-- Keyset by run_id, which is immutable and grows with time; newest first. $6 is the time as of which the walk began.
select * from runner.runs
where ($1::text is null or experiment_id = $1)
  and ($2::text is null or workflow_id = $2)
  and (cardinality($3::text[]) = 0 or state = any($3))
  and ($4::uuid is null or run_id < $4)
  and create_time <= $6
order by run_id desc
limit $5;

-- name: lock_runs
-- A statement of its own, ascending: whatever is decided next sees what this waited for, and nobody deadlocks.
select run_id, experiment_id, workflow_id, graph_hash, state, epoch, last_seq, last_inbox_seq, closed_nodes, owner_id
from runner.runs
where run_id = any($1::uuid[])
order by run_id
for no key update;

-- name: lock_runs_that_are_free
-- As lock_runs, but leaves out what somebody else is deciding about: a sweep comes back for those.
select run_id, experiment_id, workflow_id, graph_hash, state, epoch, last_seq, last_inbox_seq, closed_nodes, owner_id
from runner.runs
where run_id = any($1::uuid[])
order by run_id
for no key update skip locked;

-- name: claim_runs
-- Materialized, or the planner may run the limit again for each row; a replica that was declared dead claims nothing, and
-- none a run with node types that it does not have.
-- Between $3 and $4 crashes: a run that is about to be given up is claimed apart from the others. It is busy from the start,
-- so that one which kills its replica before the first commit is counted as well.
with ready as materialized (
    select r.run_id, r.start_time is null as fresh, runner.as_of() - r.ready_time as waited
    from runner.runs r
    where r.state = 'QUEUED' and not r.behind
      and r.crashes between $3 and $4
      and exists (select from runner.replicas where replica_id = $1 and not dead)
      -- Scalar, so that no plan reads all graphs; a replica that does not say may execute all.
      and coalesce((select g.node_types from runner.graphs g where g.graph_hash = r.graph_hash)
                   <@ (select p.node_types from runner.replicas p where p.replica_id = $1), true)
    order by r.priority desc, r.ready_time
    limit $2
    for no key update skip locked
),
claimed as (
    update runner.runs r
    set state = 'RUNNING', owner_id = $1, epoch = r.epoch + 1, step = 0, busy = true, ready_time = null, missing_types = null,
        last_seq = r.last_seq + 1, start_time = coalesce(r.start_time, runner.stamp()), update_time = runner.stamp()
    from ready
    where r.run_id = ready.run_id
    returning r.*, ready.fresh, ready.waited
),
logged as (
    insert into runner.run_events (run_id, seq, event_type, payload, epoch)
    select run_id, last_seq, case when fresh then 'RunStarted' else 'RunResumed' end,
           jsonb_build_object('replica_id', $1::uuid, 'attempt', attempt), epoch
    from claimed
)
select run_id, experiment_id, workflow_id, graph_hash, epoch, last_inbox_seq, crashes, create_time, fresh, waited from claimed;

-- name: claim_oldest_runs
-- Every fourth claim looks at age alone, so that a stream of high priorities starves nobody. Otherwise as claim_runs.
with ready as materialized (
    select r.run_id, r.start_time is null as fresh, runner.as_of() - r.ready_time as waited
    from runner.runs r
    where r.state = 'QUEUED' and not r.behind
      and r.crashes between $3 and $4
      and exists (select from runner.replicas where replica_id = $1 and not dead)
      -- Scalar, so that no plan reads all graphs; a replica that does not say may execute all.
      and coalesce((select g.node_types from runner.graphs g where g.graph_hash = r.graph_hash)
                   <@ (select p.node_types from runner.replicas p where p.replica_id = $1), true)
    order by r.ready_time
    limit $2
    for no key update skip locked
),
claimed as (
    update runner.runs r
    set state = 'RUNNING', owner_id = $1, epoch = r.epoch + 1, step = 0, busy = true, ready_time = null, missing_types = null,
        last_seq = r.last_seq + 1, start_time = coalesce(r.start_time, runner.stamp()), update_time = runner.stamp()
    from ready
    where r.run_id = ready.run_id
    returning r.*, ready.fresh, ready.waited
),
logged as (
    insert into runner.run_events (run_id, seq, event_type, payload, epoch)
    select run_id, last_seq, case when fresh then 'RunStarted' else 'RunResumed' end,
           jsonb_build_object('replica_id', $1::uuid, 'attempt', attempt), epoch
    from claimed
)
select run_id, experiment_id, workflow_id, graph_hash, epoch, last_inbox_seq, crashes, create_time, fresh, waited from claimed;

-- name: cancel_run
-- The new epoch makes every later write of the holder fail; what the run still waited for ends with it.
with cancelled as (
    update runner.runs
    set state = 'CANCELLED', error = jsonb_build_object('type', 'Cancelled', 'message', $2::text),
        epoch = epoch + 1, owner_id = null, busy = false, ready_time = null,
        suspended_node_ids = '{}', last_seq = last_seq + 1, end_time = runner.stamp(), update_time = runner.stamp()
    where run_id = $1 and state in ('QUEUED', 'RUNNING', 'SUSPENDED')
    returning run_id, last_seq, epoch, source, attempt
),
told as (
    insert into runner.outbox (kind, payload)
    select 'RUN_STATE', jsonb_build_object('firing_id', source ->> 'firing_id', 'run_id', run_id, 'state', 'CANCELLED',
                                           'attempt', attempt, 'error', $2::text)
    from cancelled
    where source ->> 'firing_id' is not null
),
logged as (
    insert into runner.run_events (run_id, seq, event_type, payload, epoch)
    select run_id, last_seq, 'RunCancelled', jsonb_build_object('reason', $2::text), epoch from cancelled
),
unwaited as (
    delete from runner.waits w using cancelled c where w.run_id = c.run_id
),
stopped as (
    update runner.jobs j set state = 'STOPPING' from cancelled c
    where j.run_id = c.run_id and j.state in ('SUBMITTED', 'RUNNING')
),
dead as (
    update runner.inbox i
    set state = 'DEAD_LETTERED', reason = 'the run was cancelled', end_time = runner.stamp()
    from cancelled c
    where i.run_id = c.run_id and i.state = 'PENDING'
)
select run_id from cancelled;

-- name: retry_run
-- A new epoch, so that nobody's late write can meet the new attempt. Only what this very failure dead-lettered is pending
-- again: other dead letters had reasons of their own.
with retried as (
    update runner.runs
    set state = 'QUEUED', attempt = attempt + 1, epoch = epoch + 1, crashes = 0, error = null, ready_time = runner.stamp(),
        end_time = null, last_seq = last_seq + 1, update_time = runner.stamp(),
        -- A deadline that has passed would end it at once again.
        deadline = case when deadline > runner.as_of() then deadline end
    where run_id = $1 and state = 'FAILED'
    returning run_id, last_seq, epoch, attempt
),
logged as (
    insert into runner.run_events (run_id, seq, event_type, payload, epoch)
    select run_id, last_seq, 'RunRetried', jsonb_build_object('reason', $2::text, 'attempt', attempt), epoch from retried
),
revived as (
    update runner.inbox i
    set state = 'PENDING', reason = null, end_time = null
    from retried r
    where i.run_id = r.run_id and i.state = 'DEAD_LETTERED' and i.reason = 'the run has failed'
)
select run_id from retried;

-- name: recently_cancelled
-- What a holder may have missed the notice of: runs that somebody else has ended. The partial indexes hold only such.
select run_id from runner.runs where state = 'CANCELLED' and end_time > runner.as_of() - $1::interval
union all
select run_id from runner.runs
where state = 'FAILED' and deadline is not null and end_time > runner.as_of() - $1::interval;

-- name: unseen_inboxes
-- What a holder may have missed the notice of: its runs that changed lately, with the last event in each inbox.
select run_id, last_inbox_seq from runner.runs
where owner_id = $1 and update_time > runner.as_of() - $2::interval and last_inbox_seq > 0;

-- name: owned_runs
select run_id from runner.runs where owner_id = $1;
