-- name: hear
-- Starts a job's heartbeat, or puts its end off. A report that names no timeout keeps the one that was promised. A row may
-- be left behind for a job that ended at this very moment: it is removed when it comes due.
with given as (
    select * from jsonb_to_recordset($1) as g (
        experiment_id text, job_id text, attempt integer, heartbeat_timeout interval, depth integer, cause_run_id text)
),
renewed as (
    select g.experiment_id, g.job_id, g.attempt, coalesce(g.heartbeat_timeout, h.heartbeat_timeout) as timeout,
           g.depth, g.cause_run_id
    from given as g
    join trigger.jobs as j using (experiment_id, job_id, attempt)
    left join trigger.heartbeats as h using (experiment_id, job_id, attempt)
    where j.status = any ($2::text[])
)
insert into trigger.heartbeats as h (
    experiment_id, job_id, attempt, heartbeat_timeout, heard_time, due_time, depth, cause_run_id)
select experiment_id, job_id, attempt, timeout, trigger.stamp(), trigger.stamp() + timeout, depth, cause_run_id
from renewed
where timeout is not null
order by experiment_id, job_id, attempt
on conflict (experiment_id, job_id, attempt) do update
set heartbeat_timeout = excluded.heartbeat_timeout,
    heard_time = excluded.heard_time,
    due_time = excluded.due_time,
    depth = greatest(h.depth, excluded.depth),
    cause_run_id = case when excluded.cause_run_id = '' then h.cause_run_id else excluded.cause_run_id end;

-- name: now
-- The database's time, for comparing later.
select trigger.stamp();

-- name: silent_jobs
-- Jobs whose heartbeat is due, read without a lock: whether they are really lost is decided one by one. Nobody could be heard
-- before $1, so silence counts from then on.
select h.experiment_id, h.job_id, h.attempt, h.depth, h.cause_run_id,
       coalesce(j.status = any ($2::text[]), false) as is_running, j.attributes
from trigger.heartbeats as h
left join trigger.jobs as j using (experiment_id, job_id, attempt)
where h.due_time <= trigger.as_of()
  and (greatest(h.heard_time, $1) + h.heartbeat_timeout <= trigger.as_of() or j.status <> all ($2::text[]) or j.status is null)
order by h.due_time
limit $3;

-- name: lock_running
-- A statement of its own: what is decided next must see what the lock waited for.
select status = any ($4::text[]) from trigger.jobs
where experiment_id = $1 and job_id = $2 and attempt = $3
for no key update;

-- name: end_heartbeat
-- Only while it is due: a heartbeat that came meanwhile has put it off, and then no row is left to delete.
delete from trigger.heartbeats
where experiment_id = $1 and job_id = $2 and attempt = $3 and due_time <= trigger.as_of()
returning true;

-- name: lose_job
-- The caller holds the row.
update trigger.jobs
set status = $4, attributes = $5, event_key = $6, update_time = trigger.stamp(), triggers_processed_time = trigger.stamp()
where experiment_id = $1 and job_id = $2 and attempt = $3;

-- name: lock_written
select written_id, experiment_id, job_id, attempt, job_type, job_name, status, attributes, revision, write_time
from trigger.written_jobs
where problem is null and matched_time is null
order by written_id
limit $1
for update skip locked;

-- name: lock_unsaid
-- Rows that are matched already, the one that waits longest first.
select written_id from trigger.written_jobs
where matched_time is not null
order by matched_time
limit $1
for update skip locked;

-- name: finish_written
-- Says of the jobs that they were matched. A job's row that its writer holds just now is not waited for, because he might wait
-- for another one in turn and would be the one whom Postgres stops: it is said another time.
with matched as materialized (
    select w.written_id, w.experiment_id, w.job_id, w.attempt from trigger.written_jobs as w
    where w.written_id = any ($1::bigint[])
),
free as materialized (
    select j.experiment_id, j.job_id, j.attempt
    from trigger.jobs as j
    where exists (select from matched as m where (m.experiment_id, m.job_id, m.attempt)
                  = (j.experiment_id, j.job_id, j.attempt))
    order by j.experiment_id, j.job_id, j.attempt
    for no key update skip locked
),
said as (
    update trigger.jobs as j set triggers_processed_time = trigger.stamp()
    from free as f
    where (j.experiment_id, j.job_id, j.attempt) = (f.experiment_id, f.job_id, f.attempt)
),
done as materialized (
    select m.written_id from matched as m
    where exists (select from free as f where (f.experiment_id, f.job_id, f.attempt)
                  = (m.experiment_id, m.job_id, m.attempt))
       or not exists (select from trigger.jobs as j where (j.experiment_id, j.job_id, j.attempt)
                      = (m.experiment_id, m.job_id, m.attempt))
),
unsaid as (
    update trigger.written_jobs as w set matched_time = trigger.stamp()
    from matched as m
    where w.written_id = m.written_id and not exists (select from done as d where d.written_id = m.written_id)
)
delete from trigger.written_jobs as w
using done as d
where w.written_id = d.written_id;

-- name: refuse_written
-- Left for people to look at, until its retention ends.
update trigger.written_jobs as w set problem = p.problem
from unnest($1::bigint[], $2::text[]) as p (written_id, problem)
where w.written_id = p.written_id;
