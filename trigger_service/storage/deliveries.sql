-- name: lease_deliveries
-- Takes due events for one deliverer, until $1 from now; if it dies they are due again then.
with due as materialized (
    select event_key from trigger.deliveries
    where next_attempt_time <= trigger.as_of()
    order by next_attempt_time, event_key
    limit $2
    for update skip locked
),
leased as (
    update trigger.deliveries as d
    set next_attempt_time = trigger.stamp() + $1::interval, attempts = d.attempts + 1
    from due
    where d.event_key = due.event_key
    returning d.event_key, d.attempts
)
select e.event_key, e.source, e.event_id, e.experiment_id, e.job_id, e.attempt, e.job_type, e.job_name, e.status,
       e.attributes, e.occur_time, e.heartbeat_timeout, e.depth, e.cause_run_id, e.trace_parent, l.attempts
from leased as l
join trigger.job_events as e using (event_key)
order by e.event_key;

-- name: end_deliveries
delete from trigger.deliveries where event_key = any ($1::uuid[]);

-- name: put_off_deliveries
update trigger.deliveries as d set next_attempt_time = trigger.stamp() + o.delay
from unnest($1::uuid[], $2::interval[]) as o (event_key, delay)
where d.event_key = o.event_key;
