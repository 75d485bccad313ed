-- Deriving a workflow costs a third of what it did: what normalising puts out is used, not made again.

-- Derives the history of the given workflows again, and from it the index, so that each is normalised once. The caller's transaction holds their rows, so two calls
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
          -- Most configs name no experiment: what they are need not be made out twice.
          and w.trigger_configs::text like '%source_experiment_ids%'
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
        select h.workflow_id, h.experiment_id, config
        from trigger.config_history as h
        cross join lateral jsonb_array_elements(h.configs) as config
        where h.workflow_id = any (changed) and h.valid_to is null and h.disabled_reason is null
          and h.experiment_id = h.workflow_experiment_id and (config -> 'is_enabled')::boolean
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
