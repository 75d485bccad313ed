-- name: lock_old_runs
-- Finished longer than $1 ago, the oldest first. Not while a job of theirs goes on or its files are still kept ($2): the
-- job's row tells when they may be removed. Other replicas take others.
select r.run_id
from runner.runs r
where r.state in ('COMPLETED', 'FAILED', 'CANCELLED') and r.end_time < runner.as_of() - $1::interval
  and not exists (
      select from runner.jobs j
      where j.run_id = r.run_id and (j.state <> 'FINISHED' or j.end_time >= runner.as_of() - $2::interval))
order by r.end_time
limit $3
for update of r skip locked;

-- name: read_rows
-- All that is kept of a run besides its log, for an archive.
select to_jsonb(r) as run,
       (select g.graph from runner.graphs g where g.graph_hash = r.graph_hash) as graph,
       coalesce((select jsonb_agg(to_jsonb(i) order by i.inbox_seq) from runner.inbox i where i.run_id = r.run_id), '[]')
           as inbox,
       coalesce((select jsonb_agg(to_jsonb(j) order by j.create_time) from runner.jobs j where j.run_id = r.run_id), '[]')
           as jobs
from runner.runs r
where r.run_id = $1;

-- name: delete_runs
-- The runs are locked and finished; with them goes all that was written for them alone.
with gone as (
    delete from runner.runs where run_id = any($1::uuid[]) and state in ('COMPLETED', 'FAILED', 'CANCELLED')
    returning run_id
),
lines as (delete from runner.run_events e using gone where e.run_id = gone.run_id),
inbox as (delete from runner.inbox i using gone where i.run_id = gone.run_id),
waits as (delete from runner.waits w using gone where w.run_id = gone.run_id),
jobs as (delete from runner.jobs j using gone where j.run_id = gone.run_id),
requests as (delete from runner.start_requests s using gone where s.run_id = gone.run_id),
choices as (delete from runner.wake_choices c using gone where c.run_id = gone.run_id),
redeliveries as (delete from runner.redeliveries d using gone where d.run_id = gone.run_id)
select run_id from gone;

-- name: compacted_runs
-- Unfinished ones: finished runs go as a whole.
select run_id from runner.runs
where first_seq > 1 and state in ('QUEUED', 'RUNNING', 'SUSPENDED') and ($1::uuid is null or run_id > $1)
order by run_id
limit $2;

-- name: remove_settled_events
-- The runs are locked. Events that were settled before the log's snapshot, and longer than $2 ago, are known to nobody any
-- more: one that comes back now would be a new one. At most the first $3 of each run are looked at, which are the oldest,
-- so that what stays costs little.
with bounds as (
    select r.run_id, least(s.create_time, runner.as_of() - $2::interval) as until
    from runner.runs r
    join runner.run_events s on s.run_id = r.run_id and s.seq = r.first_seq
    where r.run_id = any($1::uuid[]) and r.first_seq > 1
),
old as (
    select b.run_id, e.inbox_seq
    from bounds b
    cross join lateral (
        select i.inbox_seq, i.end_time from runner.inbox i
        where i.run_id = b.run_id and i.state <> 'PENDING'
        order by i.inbox_seq
        limit $3
    ) as e
    where e.end_time < b.until
),
removed as (
    delete from runner.inbox i using old
    where i.run_id = old.run_id and i.inbox_seq = old.inbox_seq and i.state <> 'PENDING'
    returning i.run_id
),
counted as (
    select run_id, count(*) as events from removed group by run_id
)
update runner.runs r set events_removed = r.events_removed + c.events
from counted c
where r.run_id = c.run_id
returning c.events;

-- name: forget_replicas
-- A replica that was dead for $1 holds nothing, and its id never returns.
delete from runner.replicas p
where p.replica_id in (
    select d.replica_id from runner.replicas d
    where d.dead and d.lease_expire_time < runner.as_of() - $1::interval
      and not exists (select from runner.runs r where r.owner_id = d.replica_id)
      and not exists (select from runner.jobs j where j.host = d.host and j.state <> 'FINISHED')
    order by d.lease_expire_time
    limit $2
    for update skip locked);
