-- name: lock_wait
-- Under the lock on its run: what a change to a wait looks at.
select w.activation, w.suspend_time is not null as suspended,
       exists (select from runner.jobs j
               where j.run_id = w.run_id and j.node_id = w.node_id and j.state <> 'FINISHED') as has_job
from runner.waits w
where w.run_id = $1 and w.node_id = $2;

-- name: update_wait
-- Only what is named in $3.
update runner.waits
set state = case when 'state' = any($3::text[]) then $4::jsonb else state end,
    priority = case when 'priority' = any($3::text[]) then $5 else priority end,
    expire_time = case when 'expire_time' = any($3::text[]) then $6 else expire_time end
where run_id = $1 and node_id = $2;

-- name: due_expiries
-- Candidates: waits whose time is over, or that are stale and are to end for that.
(select run_id from runner.waits where expire_time <= runner.as_of() order by expire_time limit $1)
union
(select run_id from runner.waits where stale_time <= runner.as_of() and stale_policy <> 'none'
 order by stale_time limit $1);

-- name: take_due_expiries
-- Under the lock on their runs: each wait ends for one reason, once.
with due as (
    select run_id, node_id, activation, expire_time, stale_time, stale_policy,
           expire_time <= runner.as_of() as expired
    from runner.waits
    where run_id = any($1::uuid[])
      and (expire_time <= runner.as_of() or (stale_time <= runner.as_of() and stale_policy <> 'none'))
),
taken as (
    update runner.waits w
    set expire_time = case when coalesce(due.expired, false) then null else w.expire_time end,
        stale_policy = 'none'
    from due
    where w.run_id = due.run_id and w.node_id = due.node_id
)
select run_id, node_id, activation, expire_time, stale_time, stale_policy, coalesce(expired, false) as expired
from due
order by run_id, node_id;

-- name: changed_healths
-- Candidates: waits that fare otherwise than the log was told. A timer is given a minute before it is told as overdue.
(select run_id from runner.waits
 where wake_time <= runner.as_of() - interval '1 minute' and health <> 'OVERDUE' and failures < 3 limit $1)
union
(select run_id from runner.waits
 where stale_time <= runner.as_of() and health = 'OK'
   and (wake_time is null or wake_time > runner.as_of() - interval '1 minute') limit $1)
union
(select run_id from runner.waits where failures >= 3 and health <> 'FAILING' limit $1);

-- name: take_changed_healths
with changed as (
    select w.run_id, w.node_id, w.activation, w.health as before, runner.health_of(w, runner.as_of()) as after,
           w.failures, w.wake_time, w.stale_time
    from runner.waits w
    where w.run_id = any($1::uuid[]) and w.health <> runner.health_of(w, runner.as_of())
),
told as (
    update runner.waits w set health = c.after from changed c where w.run_id = c.run_id and w.node_id = c.node_id
)
select * from changed order by run_id, node_id;

-- name: count_unwell
-- Few rows, each found by its own partial index.
select (select count(*) from runner.waits where wake_time <= runner.as_of() - interval '1 minute') as overdue,
       (select count(*) from runner.waits where stale_time <= runner.as_of()) as stale,
       (select count(*) from runner.waits where failures >= 3) as failing;
