-- name: open_jobs
-- The jobs this host has to look after; another host cannot see this one's processes.
select job_id, run_id, node_id, activation, experiment_id, job_type, job_name, backend, spec, handle, state
from runner.jobs
where host = $1 and state <> 'FINISHED'
order by job_id;

-- name: get_job
select job_id, run_id, node_id, activation, experiment_id, job_type, job_name, backend, spec, handle, state
from runner.jobs where job_id = $1;

-- name: mark_running
update runner.jobs set state = 'RUNNING', handle = $2 where job_id = $1 and state = 'SUBMITTED' returning job_id;

-- name: finish_job
-- Whoever sees the end first records it; the second finds nothing to do.
update runner.jobs set state = 'FINISHED', result = $2, end_time = runner.stamp()
where job_id = $1 and state <> 'FINISHED'
returning job_id;
