-- name: open_jobs
-- What this host has to look after, without what may be large: asked every second. A job whose run has ended, however
-- that came, is to end as well.
select j.job_id, j.attempt,
       j.state = 'STOPPING' or coalesce(r.state in ('COMPLETED', 'FAILED', 'CANCELLED'), true) as stopping
from runner.jobs j
left join runner.runs r using (run_id)
where j.host = $1 and j.state <> 'FINISHED'
order by j.job_id;

-- name: get_jobs
select j.job_id, j.run_id, j.node_id, j.activation, j.experiment_id, j.job_type, j.job_name, j.backend, j.spec, j.handle,
       j.attempt,
       coalesce((r.source ->> 'depth')::integer, 0) as depth,
       coalesce(r.source ->> 'trace_parent', '') as trace_parent,
       j.state = 'STOPPING' or coalesce(r.state in ('COMPLETED', 'FAILED', 'CANCELLED'), true) as stopping
from runner.jobs j
left join runner.runs r using (run_id)
where j.job_id = any($1::uuid[]) and j.state <> 'FINISHED';

-- name: mark_running
-- Whoever has started it first says so; a job that is told to stop meanwhile keeps the trace of its start.
update runner.jobs
set handle = $3, state = case when state = 'SUBMITTED' then 'RUNNING' else state end
where job_id = $1 and attempt = $2 and handle is null and state in ('SUBMITTED', 'STOPPING')
returning job_id;

-- name: finish_job
-- Whoever sees the end first records it; the second finds nothing to do.
update runner.jobs set state = 'FINISHED', result = $3, end_time = runner.stamp()
where job_id = $1 and attempt = $2 and state <> 'FINISHED'
returning job_id;

-- name: start_anew
-- Only a job that nobody wants to end.
update runner.jobs set state = 'SUBMITTED', attempt = attempt + 1, handle = null
where job_id = $1 and attempt = $2 and state = 'RUNNING'
returning job_id;

-- name: lost_jobs
-- Jobs of hosts on which no replica has lived for $2: nobody else can see their processes.
select j.job_id
from runner.jobs j
where j.state <> 'FINISHED' and j.host <> $1 and j.backend = any($3::text[])
  and j.create_time < runner.as_of() - $2::interval
  and not exists (
      select from runner.replicas p
      where p.host = j.host and p.lease_expire_time > runner.as_of() - $2::interval)
order by j.job_id
limit 100;

-- name: finished_before
-- Which of these jobs ended longer than $2 ago.
select job_id from runner.jobs
where job_id = any($1::uuid[]) and state = 'FINISHED' and end_time < runner.as_of() - $2::interval;
