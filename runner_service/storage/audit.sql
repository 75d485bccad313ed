-- name: next_runs
-- In the order of their ids, as many as have $4 lines together, and always one.
with page as (
    select r.*, sum(r.last_seq - r.first_seq + 1) over (order by r.run_id) - (r.last_seq - r.first_seq + 1) as lines_before
    from runner.runs r
    where ($1::uuid is null or r.run_id > $1) and ($2::text is null or r.experiment_id = $2)
    order by r.run_id
    limit $3
)
select page.*, runner.as_of() - end_time as ended_ago from page where lines_before < $4 order by run_id;

-- name: read_waits
select run_id, node_id, activation, suspend_time is not null as suspended, coalesce(reason, '') as reason, state, metadata
from runner.waits
where run_id = any($1::uuid[]);

-- name: read_inbox
select run_id, inbox_seq, node_id, event_id, state, activation
from runner.inbox
where run_id = any($1::uuid[])
order by run_id, inbox_seq;

-- name: read_open_jobs
select run_id, job_id from runner.jobs where run_id = any($1::uuid[]) and state <> 'FINISHED' order by run_id, job_id;

-- name: stuck_outbox
-- What was refused for its own sake, and what could not be told for longer than $1.
select outbox_id, kind, subject, attempts, refuse_time is not null as refused, coalesce(last_error, '') as last_error,
       coalesce(payload ->> 'run_id', '') as run_id, runner.as_of() - create_time as age
from runner.outbox
where refuse_time is not null or create_time < runner.as_of() - $1::interval
order by outbox_id
limit $2;

-- name: rows_without_runs
select w.run_id, 'a wait of node ' || w.node_id as what
from runner.waits w
where not exists (select from runner.runs r where r.run_id = w.run_id)
union all
select i.run_id, 'event ' || i.inbox_seq || ', pending for node ' || i.node_id
from runner.inbox i
where i.state = 'PENDING' and not exists (select from runner.runs r where r.run_id = i.run_id)
limit $1;
