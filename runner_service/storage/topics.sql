-- name: lock_topics
-- Whoever publishes for later waits. In order, as everybody locks them.
insert into runner.topics (experiment_id, topic)
select distinct k.experiment_id, k.topic
from unnest($1::text[], $2::text[]) as k (experiment_id, topic)
order by 1, 2
on conflict (experiment_id, topic) do update set lock_time = runner.stamp();

-- name: share_topics
-- Whoever registers a wait: many may at one time, but none while somebody publishes.
select t.experiment_id, t.topic
from runner.topics t
join unnest($1::text[], $2::text[]) as k (experiment_id, topic) using (experiment_id, topic)
order by t.experiment_id, t.topic
for share of t;

-- name: add_topics
insert into runner.topics (experiment_id, topic)
select distinct k.experiment_id, k.topic
from unnest($1::text[], $2::text[]) as k (experiment_id, topic)
order by 1, 2
on conflict do nothing;

-- name: listen_to_topics
-- The topics are locked and the runs too. Only topics that are new to a node bring it what is retained there: what came
-- since it began to listen has been given to it already.
with given as (
    select * from jsonb_to_recordset($1::jsonb) as g (run_id uuid, node_id text, topics text[])
),
gone as (
    delete from runner.topic_waits w
    using given g
    where w.run_id = g.run_id and w.node_id = g.node_id and not w.topic = any(g.topics)
),
fresh as (
    insert into runner.topic_waits (run_id, node_id, topic, experiment_id, workflow_id)
    select g.run_id, g.node_id, t.topic, r.experiment_id, r.workflow_id
    from given g
    join runner.runs r using (run_id)
    cross join lateral unnest(g.topics) as t (topic)
    on conflict do nothing
    returning run_id, node_id, topic, experiment_id
)
insert into runner.fan_out (publication_id, run_id, node_id)
select p.publication_id, f.run_id, f.node_id
from fresh f
join runner.publications p on p.experiment_id = f.experiment_id and p.topic = f.topic
where p.retain_until > runner.as_of() and (p.expire_time is null or p.expire_time > runner.as_of())
  and not exists (
      select from runner.inbox i
      where i.run_id = f.run_id and i.node_id = f.node_id and i.source = p.source and i.event_id = p.event_id)
  and not exists (
      select from runner.fan_out q
      where q.publication_id = p.publication_id and q.run_id = f.run_id and q.node_id = f.node_id)
order by p.publication_id;

-- name: stop_listening
with topics as (
    delete from runner.topic_waits where run_id = $1 and node_id = any($2::text[])
)
delete from runner.job_waits where run_id = $1 and node_id = any($2::text[]);

-- name: publish
-- One snapshot says who is reached, and that is what the answer tells, now and to every repetition. Nothing comes back
-- for an event that was published before.
with reached as materialized (
    select w.run_id, w.workflow_id, w.node_id
    from runner.topic_waits w
    where w.experiment_id = $1 and w.topic = $2 and ($8::timestamptz is null or $8 > runner.as_of())
),
published as (
    insert into runner.publications (experiment_id, topic, source, event_id, event, event_bytes, priority, expire_time,
                                     retain_until, forget_time, woken_count, woken)
    select $1, $2, $3, $4, $5::jsonb, $6, $7, $8, runner.stamp() + $9::interval,
           runner.stamp() + greatest($9::interval, $10::interval),
           (select count(*) from reached),
           (select coalesce(jsonb_agg(jsonb_build_array(run_id, workflow_id, node_id) order by run_id, node_id), '[]')
            from (select * from reached order by run_id, node_id limit 1000) as first)
    on conflict (experiment_id, topic, source, event_id) do nothing
    returning publication_id, woken_count, woken
),
told as (
    insert into runner.fan_out (publication_id, run_id, node_id)
    select p.publication_id, r.run_id, r.node_id
    from published p
    cross join reached r
    order by r.run_id, r.node_id
)
select woken_count, woken from published;

-- name: get_published
select woken_count, woken from runner.publications
where experiment_id = $1 and topic = $2 and source = $3 and event_id = $4;

-- name: forget_publications
-- A few at a time. What is still on its way stays.
delete from runner.publications
where publication_id in (
    select p.publication_id from runner.publications p
    where p.forget_time < runner.as_of()
      and not exists (select from runner.fan_out q where q.publication_id = p.publication_id)
    order by p.forget_time
    limit $1);

-- name: forget_topics
-- A topic without waits and events is only a lock that nobody holds.
delete from runner.topics
where (experiment_id, topic) in (
    select t.experiment_id, t.topic from runner.topics t
    where t.lock_time < runner.as_of() - interval '1 hour'
      and not exists (
          select from runner.topic_waits w where w.experiment_id = t.experiment_id and w.topic = t.topic)
      and not exists (
          select from runner.publications p where p.experiment_id = t.experiment_id and p.topic = t.topic)
    order by t.experiment_id, t.topic
    limit $1
    for update skip locked);
