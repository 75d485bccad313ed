-- What explaining, backtesting, statistics and replaying stand on.

-- The matcher's own moment and its loop limit, kept with the event beside the revision: all that it knew can be given to it
-- again. Null where an earlier version recorded the event.
alter table trigger.job_events
    add column match_time timestamptz,
    add column max_depth integer;

-- The second key of an event, in an order that also finds an event by its id alone.
create unique index job_events_by_event_id on trigger.job_events (experiment_id, event_id, source);
alter table trigger.job_events drop constraint job_events_experiment_id_source_event_id_key;

-- An experiment's events over time: explaining a workflow and replaying walk it, statistics count on the index alone.
create index job_events_by_time on trigger.job_events (experiment_id, create_time, event_key) include (job_type);

-- A trigger's firings over time, and when it fired last.
create index firings_by_trigger on trigger.firings (workflow_id, trigger_type, create_time);

-- Which replay made a firing, so that a replay that is asked for again answers with what it made. Replays are rare: the
-- index holds theirs only.
alter table trigger.firings add column replay_id uuid;
create index firings_by_replay on trigger.firings (replay_id, firing_id) where replay_id is not null;

-- All configs that a workflow ever had, also those of experiments that it watches no more.
create index config_history_by_workflow on trigger.config_history (workflow_id, experiment_id, valid_from);

-- The workflow's own experiment, which a config without sources watches. Kept here because foreign SQL may remove the
-- workflow's row, and what it did must still be told.
alter table trigger.config_history add column workflow_experiment_id text;
update trigger.config_history as h set workflow_experiment_id = w.experiment_id
from trigger.workflows as w
where w.workflow_id = h.workflow_id;

-- Derives the index and the history of the given workflows again. The caller's transaction holds their rows, so two calls
-- for one workflow follow each other; the experiments' rows are then locked in ascending order by the upsert.
create or replace function trigger.derive(changed uuid[]) returns void language plpgsql
security definer set search_path = pg_catalog
as $$
begin
    -- The blueprints stand still until this transaction ends; an edit never waits for another edit here.
    lock table trigger.blueprints in share mode;

    -- A workflow concerns the experiments that its configs watch, and its own: refusals are explained there, too.
    insert into trigger.experiments as e (experiment_id, revision)
    select touched.experiment_id, 1
    from (
        select h.experiment_id from trigger.config_history as h
        where h.workflow_id = any (changed) and h.valid_to is null
        union
        select w.experiment_id from trigger.workflows as w
        where w.workflow_id = any (changed) and w.delete_time is null
        union
        select source
        from trigger.workflows as w
        cross join lateral jsonb_array_elements(trigger.normalise_configs(w.trigger_configs)) as config
        cross join lateral jsonb_array_elements_text(config -> 'source_experiment_ids') as source
        where w.workflow_id = any (changed) and w.delete_time is null
    ) as touched
    order by touched.experiment_id
    on conflict (experiment_id) do update set revision = e.revision + 1;

    update trigger.config_history as h set valid_to = e.revision
    from trigger.experiments as e
    where e.experiment_id = h.experiment_id and h.workflow_id = any (changed) and h.valid_to is null;

    with normal as materialized (
        select w.workflow_id, w.experiment_id, w.disabled_reason, w.paused,
               trigger.normalise_configs(w.trigger_configs) as configs
        from trigger.workflows as w
        where w.workflow_id = any (changed) and w.delete_time is null
    ),
    concerned as (
        select n.workflow_id, n.experiment_id from normal as n
        union
        select n.workflow_id, source
        from normal as n
        cross join lateral jsonb_array_elements(n.configs) as config
        cross join lateral jsonb_array_elements_text(config -> 'source_experiment_ids') as source
    )
    insert into trigger.config_history (
        experiment_id, workflow_id, valid_from, configs, disabled_reason, paused, workflow_experiment_id)
    select e.experiment_id, n.workflow_id, e.revision, n.configs, n.disabled_reason, n.paused, n.experiment_id
    from concerned as c
    join trigger.experiments as e on e.experiment_id = c.experiment_id
    join normal as n on n.workflow_id = c.workflow_id;

    delete from trigger.trigger_index where workflow_id = any (changed);

    with enabled as materialized (
        select w.workflow_id, w.experiment_id, config
        from trigger.workflows as w
        cross join lateral jsonb_array_elements(trigger.normalise_configs(w.trigger_configs)) as config
        where w.workflow_id = any (changed) and w.delete_time is null and w.disabled_reason is null
          and (config -> 'is_enabled')::boolean
    ),
    watched as (
        select n.workflow_id, n.config, n.experiment_id from enabled as n
        where not n.config ? 'source_experiment_ids'
        union
        select n.workflow_id, n.config, source
        from enabled as n
        cross join lateral jsonb_array_elements_text(n.config -> 'source_experiment_ids') as source
    )
    insert into trigger.trigger_index (experiment_id, trigger_type, workflow_id, on_statuses, config)
    select w.experiment_id, w.config ->> 'trigger_type', w.workflow_id,
           case when w.config ? 'on_statuses'
                then array(select jsonb_array_elements_text(w.config -> 'on_statuses')) else '{COMPLETE}' end,
           w.config
    from watched as w;
end
$$;
