-- name: record_job_events
-- The retained copy. What comes back is new; the experiments' topics are locked.
insert into runner.publications (experiment_id, topic, source, event_id, event, event_bytes, job_type, status, occur_time,
                                 retain_until, forget_time)
select e.experiment_id, '', e.source, e.event_id, e.event, e.event_bytes, e.job_type, e.status, e.occur_time,
       runner.stamp() + $2::interval, runner.stamp() + $2::interval
from rows from (jsonb_to_recordset($1::jsonb) as (
    experiment_id text, source text, event_id text, event jsonb, event_bytes bigint, job_type text, status text,
    occur_time timestamptz)) with ordinality as e (
    experiment_id, source, event_id, event, event_bytes, job_type, status, occur_time, place)
order by e.place
on conflict (experiment_id, topic, source, event_id) do nothing
returning publication_id, experiment_id, event_id;

-- name: waits_for_jobs
-- Whom the indexed part of a filter lets through; its pattern and its condition are still to be asked.
select p.publication_id, w.run_id, w.node_id, w.job_name_pattern, w.condition
from runner.publications p
join runner.job_waits w on w.experiment_id = p.experiment_id and w.job_type in (p.job_type, '')
where p.publication_id = any($1::bigint[]) and p.status = any(w.statuses) and p.occur_time >= w.since
order by p.publication_id, w.run_id, w.node_id;

-- name: count_woken
update runner.publications p set woken_count = c.woken
from unnest($1::bigint[], $2::integer[]) as c (publication_id, woken)
where p.publication_id = c.publication_id;

-- name: listen_for_jobs
-- Answers the nodes that did not listen before: only they have to look back.
insert into runner.job_waits (run_id, node_id, experiment_id, job_type, statuses, job_name_pattern, condition, since)
select g.run_id, g.node_id, g.experiment_id, t.job_type, g.statuses, g.job_name_pattern, g.condition, g.since
from jsonb_to_recordset($1::jsonb) as g (
    run_id uuid, node_id text, experiment_id text, job_types text[], statuses text[], job_name_pattern text,
    condition text, since timestamptz)
cross join lateral unnest(g.job_types) as t (job_type)
on conflict (run_id, node_id, experiment_id, job_type) do update
set statuses = excluded.statuses, job_name_pattern = excluded.job_name_pattern, condition = excluded.condition,
    since = excluded.since
returning node_id, xmax = 0 as fresh;

-- name: stop_listening_for_other_jobs
delete from runner.job_waits w
using jsonb_to_recordset($1::jsonb) as g (run_id uuid, node_id text, experiment_id text, job_types text[])
where w.run_id = g.run_id and w.node_id = g.node_id
  and (w.experiment_id <> g.experiment_id or not w.job_type = any(g.job_types));

-- name: earlier_job_events
-- What the retained copy has for a wait that begins now, oldest first, a page at a time.
select p.publication_id, p.event -> 'payload' -> 'job' as job
from runner.publications p
where p.experiment_id = $1 and p.topic = '' and p.publication_id > $2
  and (p.job_type = any($3::text[]) or '' = any($3)) and p.status = any($4::text[]) and p.occur_time >= $5
  and p.retain_until > runner.as_of()
  and not exists (
      select from runner.inbox i
      where i.run_id = $6 and i.node_id = $7 and i.source = p.source and i.event_id = p.event_id)
  and not exists (
      select from runner.fan_out q where q.publication_id = p.publication_id and q.run_id = $6 and q.node_id = $7)
order by p.publication_id
limit $8;
