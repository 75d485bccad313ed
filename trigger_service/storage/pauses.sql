-- name: pause_workflow
-- The caller holds the row.
update trigger.workflows set paused = true, while_paused = $2 where workflow_id = $1;

-- name: resume_workflow
update trigger.workflows set paused = false, while_paused = 'HOLD' where workflow_id = $1;

-- name: pause_experiment
insert into trigger.paused_experiments (experiment_id, while_paused) values ($1, $2)
on conflict (experiment_id) do update set while_paused = excluded.while_paused;

-- name: resume_experiment
delete from trigger.paused_experiments where experiment_id = $1;

-- name: hold_queued
-- What has not been handed over when a pause begins. The rest of a long queue is held by the dispatchers that meet it.
with pending as materialized (
    select firing_id from trigger.firings
    where state in ('QUEUED', 'RETRYING') and trigger_type <> 'MANUAL'
      and ($1::uuid is null or workflow_id = $1) and ($2 = '' or experiment_id = $2)
    order by firing_id
    limit $3
    for no key update
)
update trigger.firings as f
set state = 'HELD', held_by = 'PAUSE'
from pending
where f.firing_id = pending.firing_id and f.state in ('QUEUED', 'RETRYING');

-- name: held_by_pause
select * from trigger.firings
where state = 'HELD' and held_by = 'PAUSE'
  and ($1::uuid is null or workflow_id = $1) and ($2 = '' or experiment_id = $2)
order by firing_id
limit $3;

-- name: lock_held_by_pause
select firing_id from trigger.firings
where state = 'HELD' and held_by = 'PAUSE'
  and ($1::uuid is null or workflow_id = $1) and ($2 = '' or experiment_id = $2)
order by firing_id
limit $3
for no key update;

-- name: lock_due
-- Held firings whose time has come; those that another replica is releasing are left to it.
select firing_id from trigger.firings
where state = 'HELD' and held_by in ('DELAY', 'DEBOUNCE') and next_attempt_time <= trigger.as_of()
order by next_attempt_time, firing_id
limit $1
for no key update skip locked;

-- name: no_longer_paused
-- Workflows of which a pause still holds firings although it is over: a match, or a lease, had read it just before. One
-- step on the index per workflow that has anything held, however much that is.
with recursive held as (
    (select f.workflow_id from trigger.firings as f
     where f.state = 'HELD' and f.held_by = 'PAUSE' order by f.workflow_id limit 1)
    union all
    select (select f.workflow_id from trigger.firings as f
            where f.state = 'HELD' and f.held_by = 'PAUSE' and f.workflow_id > h.workflow_id
            order by f.workflow_id limit 1)
    from held as h
    where h.workflow_id is not null
)
select h.workflow_id
from held as h
left join trigger.workflows as w on w.workflow_id = h.workflow_id
left join trigger.paused_experiments as p on p.experiment_id = w.experiment_id
where h.workflow_id is not null
  and (w.workflow_id is null or w.delete_time is not null or w.disabled_reason is not null
       or not (w.paused or p.experiment_id is not null))
limit $1;

-- name: lock_left_behind
select firing_id from trigger.firings
where state = 'HELD' and held_by = 'PAUSE' and workflow_id = any ($1::uuid[])
order by firing_id
limit $2
for no key update skip locked;

-- name: release
select * from trigger.release($1) order by firing_id;
