-- name: count_runs
select state, count(*) as count
from runner.runs
where $1::text is null or experiment_id = $1
group by state
order by state;

-- name: count_waits
select w.node_type, count(*) as count
from runner.waits w
join runner.runs r using (run_id)
where $1::text is null or r.experiment_id = $1
group by w.node_type
order by w.node_type;

-- name: ready
select count(*) as depth, runner.as_of() - min(ready_time) as oldest_age
from runner.runs
where state = 'QUEUED' and not behind and ($1::text is null or experiment_id = $1);
