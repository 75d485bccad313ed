-- name: read_waits
select run_id, node_id, activation, suspend_time is not null as suspended, wake_time
from runner.waits
where run_id = any($1::uuid[]);

-- name: due_waits
-- Candidates only: whether a timer really fires is decided once its run is locked.
select run_id, node_id from runner.waits where wake_time <= runner.as_of() order by wake_time limit $1;

-- name: take_due_times
-- Under the lock on their runs: the timer fires here, once, because afterwards it has no time any more.
with due as (
    select w.run_id, w.node_id, w.activation, w.wake_time
    from unnest($1::uuid[], $2::text[]) as d (run_id, node_id)
    join runner.waits w using (run_id, node_id)
    where w.wake_time <= runner.as_of()
),
cleared as (
    update runner.waits w set wake_time = null from due
    where w.run_id = due.run_id and w.node_id = due.node_id
)
select run_id, node_id, activation, wake_time from due order by wake_time;

-- name: next_wake_seconds
-- How long nothing is due; null when nothing waits for a time.
select extract(epoch from min(wake_time) - runner.as_of())::float8 from runner.waits where wake_time is not null;

-- name: list_suspended
-- Longest wait first; the keyset (create_time, run_id, node_id) never changes while a node waits. Hot waits only where asked
-- for.
select w.run_id, r.workflow_id, r.experiment_id, w.node_id, w.node_type, w.reason, w.state, w.metadata, w.create_time,
       w.suspend_time, w.wake_time, w.priority,
       (select count(*) from runner.inbox i
        where i.run_id = w.run_id and i.node_id = w.node_id and i.state = 'PENDING') as pending_events,
       runner.health_of(w, runner.as_of()) as health, w.expire_time,
       array(select t.topic from runner.topic_waits t
             where t.run_id = w.run_id and t.node_id = w.node_id order by t.topic) as topics,
       case when w.node_type = 'Webhook' then (
           select n.value -> 'properties' ->> 'scope'
           from runner.graphs g cross join lateral jsonb_array_elements(g.graph -> 'nodes') as n
           where g.graph_hash = r.graph_hash and n.value ->> 'id' = w.node_id) end as webhook_scope
from runner.waits w
join runner.runs r on r.run_id = w.run_id
where ($1::text is null or r.experiment_id = $1)
  and ($2::text is null or r.workflow_id = $2)
  and ($3::text is null or w.node_type = $3)
  and ($4::interval is null or w.create_time <= runner.as_of() - $4)
  and ($5 or w.suspend_time is not null)
  and ($6::text is null or runner.health_of(w, runner.as_of()) = $6)
  and ($7::timestamptz is null or (w.create_time, w.run_id, w.node_id) > ($7, $8::uuid, $9::text))
  and w.create_time <= $11
order by w.create_time, w.run_id, w.node_id
limit $10;

-- name: count_suspended
select count(*)
from runner.waits w
join runner.runs r on r.run_id = w.run_id
where ($1::text is null or r.experiment_id = $1)
  and ($2::text is null or r.workflow_id = $2)
  and ($3::text is null or w.node_type = $3)
  and ($4::interval is null or w.create_time <= runner.as_of() - $4)
  and ($5 or w.suspend_time is not null)
  and ($6::text is null or runner.health_of(w, runner.as_of()) = $6);

-- name: get_suspended
-- One waiting node as it is listed.
select w.run_id, r.workflow_id, r.experiment_id, w.node_id, w.node_type, w.reason, w.state, w.metadata, w.create_time,
       w.suspend_time, w.wake_time, w.priority,
       (select count(*) from runner.inbox i
        where i.run_id = w.run_id and i.node_id = w.node_id and i.state = 'PENDING') as pending_events,
       runner.health_of(w, runner.as_of()) as health, w.expire_time,
       array(select t.topic from runner.topic_waits t
             where t.run_id = w.run_id and t.node_id = w.node_id order by t.topic) as topics,
       case when w.node_type = 'Webhook' then (
           select n.value -> 'properties' ->> 'scope'
           from runner.graphs g cross join lateral jsonb_array_elements(g.graph -> 'nodes') as n
           where g.graph_hash = r.graph_hash and n.value ->> 'id' = w.node_id) end as webhook_scope
from runner.waits w
join runner.runs r on r.run_id = w.run_id
where w.run_id = $1 and w.node_id = $2;
