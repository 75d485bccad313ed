-- name: purgeable_events
-- The next events in their order, those among them that are old enough and have nothing under way. Locked one by one, so
-- that replicas share the work.
with oldest as materialized (
    select event_key, create_time from trigger.job_events
    where purge_time is null and event_key > $1
    order by event_key
    limit $3
)
select o.event_key, o.create_time <= trigger.as_of() - $2::interval as is_old
from oldest as o
order by o.event_key;

-- name: lock_events
select event_key from trigger.job_events
where event_key = any ($1::uuid[]) and purge_time is null
order by event_key
for update skip locked;

-- name: lock_firings_of_events
-- All of their firings, so that none can be taken up again meanwhile; which of the events have one that is not final or is
-- young. A handed-over firing is final when its run has ended, or when its workflow's concurrency skipped the run.
with held as materialized (
    select event_key, state, run_id, run_end_time, create_time from trigger.firings
    where event_key = any ($1::uuid[])
    order by firing_id
    for update
)
select distinct event_key from held
where not (state in ('DEAD', 'CANCELLED') or (state = 'DISPATCHED' and (run_id = '' or run_end_time is not null)))
   or create_time > trigger.as_of() - $2::interval
union
select event_key from trigger.deliveries where event_key = any ($1::uuid[]);

-- name: purge_events
-- What the events say, and all that hung on them; their keys stay.
with firings as (
    delete from trigger.firings where event_key = any ($1::uuid[])
),
decisions as (
    delete from trigger.decisions where event_key = any ($1::uuid[])
)
update trigger.job_events
set purge_time = trigger.stamp(), attributes = '{}', trace_parent = ''
where event_key = any ($1::uuid[]);

-- name: purge_firings_by_hand
with old as materialized (
    select f.firing_id, f.state, f.run_id, f.run_end_time, f.create_time from trigger.firings as f
    where f.trigger_type = 'MANUAL' and f.firing_id > $1
    order by f.firing_id
    limit $3
),
finished as materialized (
    select f.firing_id from trigger.firings as f
    join old using (firing_id)
    where old.create_time <= trigger.as_of() - $2::interval
      and (f.state in ('DEAD', 'CANCELLED')
           or (f.state = 'DISPATCHED' and (f.run_id = '' or f.run_end_time is not null)))
    order by f.firing_id
    for update of f skip locked
),
gone as (
    delete from trigger.firings as f using finished
    where f.firing_id = finished.firing_id
      and (f.state in ('DEAD', 'CANCELLED')
           or (f.state = 'DISPATCHED' and (f.run_id = '' or f.run_end_time is not null)))
    returning f.firing_id
)
select o.firing_id, o.create_time <= trigger.as_of() - $2::interval as is_old,
       exists (select from gone as g where g.firing_id = o.firing_id) as is_gone
from old as o
order by o.firing_id;

-- name: forget_events
-- From here on a report of theirs is new.
delete from trigger.job_events
where event_key in (
    select event_key from trigger.job_events
    where purge_time is not null and create_time <= trigger.as_of() - $1::interval
    order by create_time
    limit $2
    for update skip locked)
returning event_key;

-- name: forget_requests
delete from trigger.requests
where (experiment_id, method, request_id) in (
    select experiment_id, method, request_id from trigger.requests
    where create_time <= trigger.as_of() - $1::interval
    order by create_time
    limit $2
    for update skip locked)
returning 1;

-- name: forget_deliveries
-- The runner keeps job events for a day: what it was not told by then could wake nobody any more.
with oldest as materialized (
    select event_key, create_time from trigger.deliveries order by event_key limit $2 for update skip locked
)
delete from trigger.deliveries as d using oldest as o
where d.event_key = o.event_key and o.create_time <= trigger.as_of() - $1::interval
returning d.event_key;

-- name: forget_problems
delete from trigger.written_jobs
where written_id in (
    select written_id from trigger.written_jobs
    where problem is not null and write_time <= trigger.as_of() - $1::interval
    limit $2
    for update skip locked)
returning written_id;
