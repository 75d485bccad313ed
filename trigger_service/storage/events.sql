-- name: match_view
-- Everything that matching a batch needs, in one snapshot: what is known of the jobs, the revision of each experiment and
-- the enabled configs of exactly that revision. Only rows whose type and status fit are read, however many others there are.
with reported as (
    -- Behind a select the planner does not see how long the lists are. Seeing it, it would make a new plan for every report,
    -- because one for the lists at hand looks cheaper than one for any: 0.4 ms each, a third of what a report takes.
    select * from unnest(
            (select $1::text[]), (select $2::text[]), (select $3::integer[]), (select $4::text[]), (select $5::text[]))
        as r (experiment_id, job_id, attempt, job_type, status)
),
known as materialized (
    select distinct j.experiment_id, j.job_id, j.attempt, j.job_type, j.job_name, j.attributes
    from reported as r
    -- One look by key for each, also in a plan that was made while the table was small: it grows by thousands a second.
    cross join lateral (
        select * from trigger.jobs as j
        where j.experiment_id = r.experiment_id and j.job_id = r.job_id and j.attempt = r.attempt
        limit 1
    ) as j
),
wanted as materialized (
    select r.experiment_id, r.job_type, r.status from reported as r where r.job_type <> ''
    union
    select r.experiment_id, k.job_type, r.status
    from reported as r join known as k using (experiment_id, job_id, attempt)
),
candidates as (
    select distinct on (i.experiment_id, i.trigger_type, i.workflow_id)
        i.experiment_id as watched_id, i.trigger_type, i.config, w.workflow_id, w.experiment_id, w.name, w.version,
        w.graph_hash, w.paused or p.experiment_id is not null as paused,
        coalesce(case when w.paused then w.while_paused end, p.while_paused, 'HOLD') as while_paused
    from wanted as x
    join trigger.trigger_index as i on i.experiment_id = x.experiment_id and i.trigger_type = x.job_type
        and x.status = any (i.on_statuses)
    join trigger.workflows as w on w.workflow_id = i.workflow_id
    left join trigger.paused_experiments as p on p.experiment_id = w.experiment_id
    order by i.experiment_id, i.trigger_type, i.workflow_id
)
select
    trigger.as_of() as now,
    (select coalesce(jsonb_agg(to_jsonb(k)), '[]') from known as k) as jobs,
    (select coalesce(jsonb_object_agg(e.experiment_id, e.revision), '{}')
     from trigger.experiments as e where e.experiment_id = any ((select $1)::text[])) as revisions,
    (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from candidates as c) as candidates;

-- name: match_view_at
-- The same for jobs that others wrote into the table: the enabled configs of the revision that the writer saw, one revision
-- per experiment. What was valid then is what is valid now and began before, and the few rows that have ended since.
with reported as (
    -- Behind a select, so that one plan serves lists of any length.
    select * from unnest(
            (select $1::text[]), (select $2::text[]), (select $3::integer[]), (select $4::text[]), (select $5::text[]),
            (select $6::bigint[]))
        as r (experiment_id, job_id, attempt, job_type, status, revision)
),
known as materialized (
    select distinct j.experiment_id, j.job_id, j.attempt, j.job_type, j.job_name, j.attributes
    from reported as r
    -- One look by key for each, also in a plan that was made while the table was small: it grows by thousands a second.
    cross join lateral (
        select * from trigger.jobs as j
        where j.experiment_id = r.experiment_id and j.job_id = r.job_id and j.attempt = r.attempt
        limit 1
    ) as j
),
wanted as materialized (
    select distinct r.experiment_id, r.job_type, r.status, r.revision from reported as r
),
valid as (
    -- Each lookup is fenced: Postgres, which knows neither how many triggers an experiment has nor how old the revision is,
    -- would otherwise read all configs of the experiment.
    select i.experiment_id, i.trigger_type, i.workflow_id, i.config
    from wanted as x
    cross join lateral (
        select * from trigger.trigger_index as i
        where i.experiment_id = x.experiment_id and i.trigger_type = x.job_type and x.status = any (i.on_statuses)
        offset 0
    ) as i
    cross join lateral (
        select from trigger.config_history as h
        where h.workflow_id = i.workflow_id and h.experiment_id = i.experiment_id and h.valid_to is null
          and h.valid_from <= x.revision
        limit 1
    ) as h
    union
    select x.experiment_id, x.job_type, h.workflow_id, config
    from wanted as x
    cross join lateral (
        select * from trigger.config_history as h
        where h.experiment_id = x.experiment_id and h.valid_to > x.revision and h.valid_from <= x.revision
          and h.disabled_reason is null
        offset 0
    ) as h
    join trigger.workflows as w on w.workflow_id = h.workflow_id
    cross join lateral jsonb_array_elements(h.configs) as config
    where config ->> 'trigger_type' = x.job_type and (config -> 'is_enabled')::boolean
      and case when config ? 'on_statuses' then config -> 'on_statuses' ? x.status else x.status = 'COMPLETE' end
      and case when config ? 'source_experiment_ids' then config -> 'source_experiment_ids' ? x.experiment_id
               else w.experiment_id = x.experiment_id end
),
candidates as (
    select distinct on (v.experiment_id, v.trigger_type, v.workflow_id)
        v.experiment_id as watched_id, v.trigger_type, v.config, w.workflow_id, w.experiment_id, w.name, w.version,
        w.graph_hash, w.paused or p.experiment_id is not null as paused,
        coalesce(case when w.paused then w.while_paused end, p.while_paused, 'HOLD') as while_paused
    from valid as v
    join trigger.workflows as w on w.workflow_id = v.workflow_id
    left join trigger.paused_experiments as p on p.experiment_id = w.experiment_id
    order by v.experiment_id, v.trigger_type, v.workflow_id
)
select
    trigger.as_of() as now,
    (select coalesce(jsonb_agg(to_jsonb(k)), '[]') from known as k) as jobs,
    (select coalesce(jsonb_object_agg(r.experiment_id, r.revision), '{}') from reported as r) as revisions,
    (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from candidates as c) as candidates;

-- name: record_events
-- Events, their firings and their jobs, all hanging on the events that are really new: a firing or a job is written from the
-- event's RETURNING, never from the parameters alone. Keys are taken in sorted order, so that two batches that share some
-- cannot wait for each other in a circle.
with given as materialized (
    select * from jsonb_to_recordset($1) as g (
        event_key uuid, experiment_id text, source text, event_id text, job_id text, attempt integer, status text,
        job_type text, job_name text, attributes jsonb, occur_time timestamptz, heartbeat_timeout interval, depth integer,
        cause_run_id text, trace_parent text, revision bigint, match_time timestamptz, max_depth integer, place integer,
        keeps_job boolean)
),
accepted as (
    insert into trigger.job_events (
        event_key, experiment_id, source, event_id, job_id, attempt, status, job_type, job_name, attributes, occur_time,
        heartbeat_timeout, depth, cause_run_id, trace_parent, revision, match_time, max_depth)
    select event_key, experiment_id, source, event_id, job_id, attempt, status, job_type, job_name, attributes,
           coalesce(occur_time, trigger.stamp()), heartbeat_timeout, depth, cause_run_id, trace_parent, revision,
           match_time, max_depth
    from given
    order by experiment_id, job_id, attempt, status, event_id
    on conflict do nothing
    returning event_key
),
fired as (
    insert into trigger.firings (
        firing_id, event_key, workflow_id, experiment_id, event_id, trigger_type, workflow_version, graph_hash, depth,
        state, held_by, next_attempt_time)
    select f.firing_id, f.event_key, f.workflow_id, f.experiment_id, f.event_id, f.trigger_type, f.workflow_version,
           decode(f.graph_hash, 'hex'), f.depth, f.state, f.held_by,
           trigger.stamp() + coalesce(f.delay, interval '0')
    from jsonb_to_recordset($2) as f (
        firing_id uuid, event_key uuid, workflow_id uuid, experiment_id text, event_id text, trigger_type text,
        workflow_version bigint, graph_hash text, depth integer, state text, held_by text, delay interval)
    join accepted using (event_key)
    order by f.firing_id
    returning *
),
decided as (
    insert into trigger.decisions (
        event_key, workflow_id, replay, experiment_id, verdict, detail, config, firing_id)
    select d.event_key, d.workflow_id, d.replay, d.experiment_id, d.verdict, d.detail, d.config, d.firing_id
    from jsonb_to_recordset($4) as d (
        event_key uuid, workflow_id uuid, replay integer, experiment_id text, verdict text, detail text, config jsonb,
        firing_id uuid)
    join accepted using (event_key)
),
delivered as (
    insert into trigger.deliveries (event_key) select event_key from accepted
),
updated as (
    insert into trigger.jobs as j (
        experiment_id, job_id, attempt, job_type, job_name, status, attributes, triggers_processed_time, event_key)
    -- Of several statuses of one job in a batch the last one stands, unless one before it ended the job. An event that was
    -- read from the job's row says nothing that the row does not.
    select distinct on (experiment_id, job_id, attempt)
        experiment_id, job_id, attempt, job_type, job_name, status, attributes, trigger.stamp(), event_key
    from given join accepted using (event_key)
    where not keeps_job
    order by experiment_id, job_id, attempt, status = any ($3::text[]), place desc
    on conflict (experiment_id, job_id, attempt) do update
    set job_type = excluded.job_type,
        job_name = excluded.job_name,
        attributes = excluded.attributes,
        -- A report that comes late never takes a finished job back to an unfinished status.
        status = case when excluded.status = any ($3::text[]) and j.status <> '' and j.status <> all ($3::text[])
                      then j.status else excluded.status end,
        update_time = trigger.stamp(),
        triggers_processed_time = excluded.triggers_processed_time,
        -- A new one each time: by this the database tells our writes from others'.
        event_key = excluded.event_key
)
select
    (select coalesce(array_agg(event_key), '{}') from accepted) as accepted,
    (select coalesce(jsonb_agg(to_jsonb(f)), '[]') from fired as f) as firings;

-- name: find_originals
-- For reports that were not new: the event that reached this status of this job before, and the event that bore this id.
select r.place, same_status.event_key, same_status.event_id, same_id.event_key as id_event_key,
       same_status.purge_time is not null as is_purged
from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[]) with ordinality
    as r (experiment_id, job_id, attempt, status, source, event_id, place)
left join trigger.job_events as same_status using (experiment_id, job_id, attempt, status)
left join trigger.job_events as same_id
    on same_id.experiment_id = r.experiment_id and same_id.source = r.source and same_id.event_id = r.event_id
order by r.place;
