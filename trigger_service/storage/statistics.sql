-- name: count_events
-- Events per experiment, type and bucket, on the index over time alone.
select e.experiment_id, e.job_type, (date_bin($3::interval, e.create_time, $2::timestamptz)) as bucket, count(*) as events
from trigger.job_events as e
where e.experiment_id = any ($1::text[]) and e.create_time >= $2
group by 1, 2, 3;

-- name: count_firings
-- A workflow's firings per trigger and bucket; those that a replay made count as firings, not as matches.
select f.trigger_type, (date_bin($4::interval, f.create_time, $3::timestamptz)) as bucket,
       count(*) filter (where f.replay = 0) as matched,
       count(*) filter (where f.state = 'DISPATCHED') as dispatched,
       count(*) filter (where f.state = 'DEAD') as dead,
       count(*) filter (where f.run_state = 'FAILED') as runs_failed
from trigger.firings as f
where f.workflow_id = $1 and f.trigger_type = any ($2::text[]) and f.create_time >= $3
group by 1, 2;

-- name: last_fired
select t.trigger_type, (
    select max(f.create_time) from trigger.firings as f where f.workflow_id = $1 and f.trigger_type = t.trigger_type
) as last_fired_time
from unnest($2::text[]) as t (trigger_type);

-- name: as_of
select trigger.as_of();
