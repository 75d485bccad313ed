-- name: insert_manual
insert into trigger.firings (
    firing_id, event_key, workflow_id, experiment_id, event_id, trigger_type, workflow_version, graph_hash, input, state)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'QUEUED')
returning *;

-- name: get_firing
select * from trigger.firings where firing_id = $1;

-- name: lock_firing
select * from trigger.firings where firing_id = $1 and ($2 = '' or experiment_id = $2) for no key update;

-- name: queue_again
update trigger.firings
set state = 'QUEUED', refusals = 0, next_attempt_time = trigger.stamp()
where firing_id = $1 and state in ('DEAD', 'RETRYING')
returning *;

-- name: cancel_firing
update trigger.firings
set state = 'CANCELLED', last_error = $2, held_by = ''
where firing_id = $1 and state in ('QUEUED', 'RETRYING', 'HELD', 'DEAD')
returning *;

-- name: firings_of_events
-- Also the firing that an event was folded into, which carries a later one since.
select f.*, f.event_key as asked_key from trigger.firings as f
where f.event_key = any ($1::uuid[])
union all
select f.*, d.event_key as asked_key
from trigger.decisions as d
join trigger.firings as f on f.firing_id = d.firing_id and f.event_key <> d.event_key
where d.event_key = any ($1::uuid[]) and d.verdict = 'DEBOUNCED'
order by firing_id;

-- name: list_firings
select *, coalesce($6::timestamptz, trigger.as_of()) as as_of from trigger.firings
where ($1::uuid is null or workflow_id = $1)
  and ($2 = '' or experiment_id = $2)
  and (cardinality($3::text[]) = 0 or state = any ($3))
  and ($4::uuid is null or firing_id < $4)
order by firing_id desc
limit $5;

-- name: cancel_of_workflow
-- What is being dispatched just now is left alone: it may have reached the runner already. What was asked for by hand goes
-- with the workflow, and not with its triggers.
with pending as materialized (
    select firing_id from trigger.firings
    where workflow_id = $1 and state in ('QUEUED', 'RETRYING', 'HELD') and ($3 or trigger_type <> 'MANUAL')
    order by firing_id
    for no key update
)
update trigger.firings as f
set state = 'CANCELLED', last_error = $2, held_by = '', lease_id = null, lease_expire_time = null
from pending
where f.firing_id = pending.firing_id and f.state in ('QUEUED', 'RETRYING', 'HELD');

-- name: lease_due
-- Takes due firings for one dispatcher. A match that was under way while its workflow was deleted, paused, or its triggers
-- were turned off, may have come in after those were cancelled or held: such firings end, or are held, here.
with due as materialized (
    select firing_id, workflow_id, trigger_type <> 'MANUAL' as is_triggered from trigger.firings
    where state in ('QUEUED', 'RETRYING') and next_attempt_time <= trigger.as_of()
    order by next_attempt_time, firing_id
    limit $3
    for no key update skip locked
),
judged as (
    select d.firing_id, w.concurrency,
           case when w.workflow_id is null or w.delete_time is not null then 'the workflow was deleted'
                when d.is_triggered then w.disabled_reason end as obstacle,
           d.is_triggered and (w.paused or p.experiment_id is not null) as is_paused
    from due as d
    left join trigger.workflows as w on w.workflow_id = d.workflow_id
    left join trigger.paused_experiments as p on p.experiment_id = w.experiment_id
),
leased as (
    update trigger.firings as f
    set state = case when j.obstacle is not null then 'CANCELLED' when j.is_paused then 'HELD' else 'DISPATCHING' end,
        held_by = case when j.obstacle is null and j.is_paused then 'PAUSE' else '' end,
        last_error = coalesce(j.obstacle, f.last_error),
        lease_id = $1,
        lease_expire_time = trigger.stamp() + $2::interval
    from judged as j
    where f.firing_id = j.firing_id
    returning f.firing_id, f.event_key, f.workflow_id, f.experiment_id, f.event_id, f.trigger_type, f.graph_hash,
              f.input, f.depth, f.state, f.attempts, f.refusals, j.concurrency
)
select l.*, e.job_id, e.attempt as job_attempt, e.job_type, e.job_name, e.status, e.attributes
from leased as l
left join trigger.job_events as e on e.event_key = l.event_key
order by l.firing_id;

-- name: graphs_by_hash
select graph_hash, graph from trigger.graphs where graph_hash = any ($1::bytea[]);

-- name: record_outcomes
-- Fenced by the lease: a dispatcher that was frozen past its lease finds its firings gone and changes nothing. Rows are
-- locked in order, because reports about runs lock the same rows.
with outcomes as materialized (
    select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::integer[], $8::interval[])
        as o (firing_id, state, run_id, error, tried, refused, delay)
),
held as materialized (
    select f.firing_id from trigger.firings as f
    where f.firing_id = any ($2::uuid[]) and f.lease_id = $1 and f.state = 'DISPATCHING'
    order by f.firing_id
    for no key update
)
update trigger.firings as f
set state = o.state,
    run_id = case when o.state = 'DISPATCHED' then o.run_id else f.run_id end,
    dispatch_time = case when o.state = 'DISPATCHED' then trigger.stamp() end,
    last_error = o.error,
    attempts = f.attempts + o.tried,
    refusals = f.refusals + o.refused,
    next_attempt_time = trigger.stamp() + o.delay,
    lease_id = null,
    lease_expire_time = null
from outcomes as o
join held using (firing_id)
where f.firing_id = o.firing_id and f.lease_id = $1 and f.state = 'DISPATCHING'
returning f.firing_id;

-- name: sweep_leases
-- A dispatcher that died leaves its firings behind; whether the runner got them is told by their request_id.
with expired as materialized (
    select firing_id from trigger.firings
    where state = 'DISPATCHING' and lease_expire_time <= trigger.as_of()
    order by lease_expire_time
    limit $1
    for no key update skip locked
)
update trigger.firings as f
set state = 'QUEUED', lease_id = null, lease_expire_time = null
from expired
where f.firing_id = expired.firing_id
returning f.firing_id;

-- name: record_run_states
-- Told at least once and in any order: a result of an earlier attempt of the run never replaces a later one's. Callers
-- give each firing once.
with results as materialized (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::integer[])
        as r (firing_id, run_id, run_state, end_time, attempt)
),
held as materialized (
    select f.firing_id from trigger.firings as f
    where f.firing_id = any ($1::uuid[])
    order by f.firing_id
    for no key update
)
update trigger.firings as f
set run_id = r.run_id, run_state = r.run_state, run_end_time = coalesce(r.end_time, trigger.stamp()), run_attempt = r.attempt
from results as r
join held using (firing_id)
where f.firing_id = r.firing_id and f.run_attempt <= r.attempt
returning f.firing_id;
