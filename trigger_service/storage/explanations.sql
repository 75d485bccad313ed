-- name: find_events
-- Reporters may use each other's ids, so there can be several; one whose content was removed explains nothing any more.
select * from trigger.job_events
where experiment_id = $1 and event_id = $2 and purge_time is null
order by event_key;

-- name: workflows_at
-- Every workflow that concerned an experiment at a revision, with its configs of then; deleted ones with their last. A
-- workflow of elsewhere that had stopped watching before concerns it no more.
select latest.workflow_id, latest.configs, coalesce(latest.disabled_reason, '') as disabled_reason, latest.paused,
       coalesce(latest.workflow_experiment_id, w.experiment_id, latest.experiment_id) as experiment_id,
       coalesce(w.name, '') as name, latest.has_ended as deleted
from (
    select distinct on (h.workflow_id) h.*, coalesce(h.valid_to <= $2, false) as has_ended
    from trigger.config_history as h
    where h.experiment_id = $1 and h.valid_from <= $2 and ($4::uuid is null or h.workflow_id > $4)
    order by h.workflow_id, h.valid_from desc
) as latest
left join trigger.workflows as w on w.workflow_id = latest.workflow_id
where not latest.has_ended
   or w.delete_time <= $3
   or (latest.workflow_experiment_id = latest.experiment_id and (w.workflow_id is null or w.delete_time is not null))
order by latest.workflow_id
limit $5;

-- name: workflows_now
-- Every live workflow that an event of this experiment concerns now, with all its configs.
select h.workflow_id, h.configs, coalesce(h.disabled_reason, '') as disabled_reason, h.paused, w.experiment_id, w.name,
       false as deleted
from trigger.config_history as h
join trigger.workflows as w on w.workflow_id = h.workflow_id
where h.experiment_id = $1 and h.valid_to is null
order by h.workflow_id
limit $2;

-- name: traces
-- What is kept of how matches went: the event's own firing, and the decision that hung on the state of its moment.
select p.event_key, p.workflow_id, f.state, f.held_by, f.last_error, f.run_state, d.verdict, d.detail
from unnest($1::uuid[], $2::uuid[]) as p (event_key, workflow_id)
left join trigger.firings as f on f.event_key = p.event_key and f.workflow_id = p.workflow_id and f.replay = 0
left join trigger.decisions as d on d.event_key = p.event_key and d.workflow_id = p.workflow_id and d.replay = 0
where f.firing_id is not null or d.event_key is not null;

-- name: find_workflow
-- Also one that was deleted: what it did can still be asked.
select workflow_id, experiment_id, name, create_time from trigger.workflows
where workflow_id = $1 and ($2 = '' or experiment_id = $2);

-- name: events_of_workflow
-- A workflow's events, newest first, each with the configs of its moment: for every experiment that it ever watched, the
-- newest on the index over time. Nothing older than the workflow is looked at.
select found.*
from (select distinct h.experiment_id from trigger.config_history as h where h.workflow_id = $1) as watched
cross join lateral (
    select e.*, c.configs, coalesce(c.disabled_reason, '') as disabled_reason, c.paused, c.has_ended as deleted,
           coalesce(c.workflow_experiment_id, w.experiment_id) as workflow_experiment_id
    from trigger.job_events as e
    cross join lateral (
        select h.*, coalesce(h.valid_to <= e.revision, false) as has_ended
        from trigger.config_history as h
        where h.workflow_id = $1 and h.experiment_id = e.experiment_id and h.valid_from <= e.revision
        order by h.valid_from desc
        limit 1
    ) as c
    join trigger.workflows as w on w.workflow_id = $1
    where e.experiment_id = watched.experiment_id and e.purge_time is null
      and ($2::timestamptz is null or (e.create_time, e.event_key) < ($2, $3))
      and e.create_time >= $5
      and (not c.has_ended
           or w.delete_time <= coalesce(e.match_time, e.create_time)
           or (w.experiment_id = e.experiment_id and w.delete_time is not null))
    order by e.create_time desc, e.event_key desc
    limit $4
) as found
order by found.create_time desc, found.event_key desc
limit $4;

-- name: watched_experiments
select distinct experiment_id from trigger.config_history where workflow_id = $1 order by experiment_id;

-- name: events_between
-- One stretch of an experiment's events, oldest first: those of the given types, and those that fired the given workflow.
select e.*
from trigger.job_events as e
where e.experiment_id = $1 and e.create_time >= $2 and e.create_time < coalesce($3, 'infinity'::timestamptz)
  and e.purge_time is null
  and ($4::timestamptz is null or (e.create_time, e.event_key) > ($4, $5))
  and (e.job_type = any ($6::text[])
       or exists (select from trigger.firings as f where f.event_key = e.event_key and f.workflow_id = $7))
order by e.create_time, e.event_key
limit $8;
