-- Options of a trigger that need state at the match: delay, debounce, max_firings, rate_limit, while_paused; pauses; the
-- decisions that hung on the state of their moment; refusals in a row. Replaces the function normalise_config (which asks
-- option_fault from now on) and the view live_workflows.

-- Why a workflow did or did not fire, where that cannot be derived again from config and event: one row per event,
-- workflow and replay. Insert-only but for replays of the same event: the default fillfactor.
create table trigger.decisions (
    event_key uuid not null,
    workflow_id uuid not null,
    replay integer not null default 0,
    -- The event's experiment, which is the one whose revisions explain it.
    experiment_id text not null,
    verdict text not null check (
        verdict in ('PAUSED', 'DEBOUNCED', 'RATE_LIMITED', 'LIMIT_REACHED', 'CONDITION_ERROR')
    ),
    detail text not null default '',
    -- The trigger's config as it was, normalised.
    config jsonb not null,
    -- The firing that holds the match (PAUSED and held), or that the event was folded into (DEBOUNCED).
    firing_id uuid,
    create_time timestamptz not null default trigger.stamp(),
    primary key (event_key, workflow_id, replay)
);
-- A workflow's decisions, newest event first: event keys are made in the order of time.
create index decisions_by_workflow on trigger.decisions (workflow_id, event_key desc);

-- One row per trigger that debounces or has a limit: whoever admits a match holds it, so that counting and firing are one.
-- fillfactor 50: tiny rows that are only ever updated, on no indexed column.
create table trigger.limit_counters (
    workflow_id uuid not null,
    trigger_type text not null,
    -- How many firings max_firings has let through.
    fired bigint not null default 0,
    -- The rate limit's window: it opens with the first firing that it counts.
    window_start timestamptz,
    window_fired integer not null default 0,
    primary key (workflow_id, trigger_type)
) with (fillfactor = 50);

-- Experiments of which all triggers are paused, those of workflows to come among them.
create table trigger.paused_experiments (
    experiment_id text primary key check (octet_length(experiment_id) between 1 and 255),
    while_paused text not null check (while_paused in ('HOLD', 'DROP_AND_RECORD')),
    create_time timestamptz not null default trigger.stamp()
);

-- What becomes of matches while the workflow itself is paused, where its config does not say.
alter table trigger.workflows add column while_paused text not null default 'HOLD'
    check (while_paused in ('HOLD', 'DROP_AND_RECORD'));

-- How often in a row the runner refused a workflow's firings. Only workflows that are being refused have a row.
create table trigger.refusal_counts (
    workflow_id uuid primary key,
    in_a_row integer not null,
    last_error text not null
) with (fillfactor = 50);

-- The release loop's question; as small as what waits for a time.
create index firings_held_until on trigger.firings (next_attempt_time, firing_id)
where state = 'HELD' and held_by in ('DELAY', 'DEBOUNCE');
-- One open window per trigger.
create unique index firings_debounced on trigger.firings (workflow_id, trigger_type)
where state = 'HELD' and held_by = 'DEBOUNCE';
-- What a pause holds, by workflow.
create index firings_paused on trigger.firings (workflow_id, firing_id) where state = 'HELD' and held_by = 'PAUSE';

-- A stored span ('90s', '0.5s': a duration's JSON form) of at most ten years, or null when it is none.
create function trigger.span(stored jsonb) returns interval language sql immutable parallel safe
as $$
    select case when jsonb_typeof(stored) = 'string' and stored #>> '{}' ~ '^\d{1,9}(\.\d{1,9})?s$'
                     and rtrim(stored #>> '{}', 's')::double precision <= 315576000
                then make_interval(secs => rtrim(stored #>> '{}', 's')::double precision) end
$$;

-- Whether a stored value is a whole number in this range.
create function trigger.is_whole(stored jsonb, lowest bigint) returns boolean language sql immutable parallel safe
as $$
    select case when jsonb_typeof(stored) = 'number' and stored #>> '{}' ~ '^\d{1,10}$'
                then (stored #>> '{}')::bigint between lowest and 2147483647 else false end
$$;

-- Which options of a stored config have a form that cannot be honoured; null when all can. Dropping one would make the
-- trigger fire more often than its author wanted, so the whole trigger is off instead, and says this.
create function trigger.option_fault(config jsonb) returns text language sql stable parallel safe
as $$
    select 'stored options that cannot be honoured: ' || nullif(concat_ws(', ',
        case when jsonb_typeof(config -> 'condition') <> 'string' then 'condition' end,
        case when jsonb_typeof(config -> 'job_name_pattern') <> 'string' then 'job_name_pattern' end,
        case when config ? 'on_statuses' and not trigger.is_text_list(config -> 'on_statuses')
             then 'on_statuses' end,
        case when config ? 'source_experiment_ids' and not trigger.is_id_list(config -> 'source_experiment_ids')
             then 'source_experiment_ids' end,
        case when config ? 'expire_time' and trigger.canonical_time(config ->> 'expire_time') is null
             then 'expire_time' end,
        case when config ? 'delay' and trigger.span(config -> 'delay') is null then 'delay' end,
        case when config ? 'debounce' and not (
                      coalesce(trigger.span(config #> '{debounce,quiet_period}') > interval '0', false)
                      and (config #> '{debounce,max_wait}' is null or coalesce(
                               trigger.span(config #> '{debounce,max_wait}')
                               >= trigger.span(config #> '{debounce,quiet_period}'), false)))
             then 'debounce' end,
        case when config ? 'max_firings' and not trigger.is_whole(config -> 'max_firings', 0)
             then 'max_firings' end,
        case when config ? 'rate_limit' and not (
                      trigger.is_whole(config #> '{rate_limit,max_firings}', 1)
                      and coalesce(trigger.span(config #> '{rate_limit,window}') > interval '0', false))
             then 'rate_limit' end,
        case when config ? 'while_paused'
                  and coalesce(config ->> 'while_paused' not in ('HOLD', 'DROP_AND_RECORD'), true)
             then 'while_paused' end), '')
$$;

create or replace function trigger.normalise_config(stored jsonb, trigger_type text, default_is_enabled boolean)
returns jsonb language sql stable parallel safe
as $$
    select case when fault is not null
        then jsonb_build_object('trigger_type', trigger_type, 'is_enabled', false, 'fault', fault)
        else jsonb_build_object(
                'trigger_type', trigger_type,
                'is_enabled', case when jsonb_typeof(config -> 'is_enabled') = 'boolean'
                                   then config -> 'is_enabled' else to_jsonb(default_is_enabled) end)
            || case when config ->> 'condition' <> ''
                    then jsonb_build_object('condition', config -> 'condition') else '{}' end
            || case when config ->> 'job_name_pattern' <> ''
                    then jsonb_build_object('job_name_pattern', config -> 'job_name_pattern') else '{}' end
            || case when config -> 'on_statuses' <> '[]'
                    then jsonb_build_object('on_statuses', config -> 'on_statuses') else '{}' end
            || case when config -> 'source_experiment_ids' <> '[]'
                    then jsonb_build_object('source_experiment_ids', config -> 'source_experiment_ids') else '{}' end
            || case when config ? 'expire_time'
                    then jsonb_build_object('expire_time', trigger.canonical_time(config ->> 'expire_time'))
                    else '{}' end
            || case when trigger.span(config -> 'delay') > interval '0'
                    then jsonb_build_object('delay', config -> 'delay') else '{}' end
            || case when config ? 'debounce'
                    then jsonb_build_object('debounce', jsonb_strip_nulls(jsonb_build_object(
                        'quiet_period', config #> '{debounce,quiet_period}',
                        'max_wait', config #> '{debounce,max_wait}'))) else '{}' end
            || case when (config ->> 'max_firings')::bigint > 0
                    then jsonb_build_object('max_firings', config -> 'max_firings') else '{}' end
            || case when config ? 'rate_limit'
                    then jsonb_build_object('rate_limit', jsonb_build_object(
                        'max_firings', config #> '{rate_limit,max_firings}',
                        'window', config #> '{rate_limit,window}')) else '{}' end
            || case when config ? 'while_paused'
                    then jsonb_build_object('while_paused', config -> 'while_paused') else '{}' end
        end
    from (
        select stripped.config, trigger.option_fault(stripped.config) as fault
        from (select jsonb_strip_nulls(stored) as config) as stripped
        offset 0
    ) as read
$$;

create or replace view trigger.live_workflows as
select w.workflow_id, w.experiment_id, w.name, g.graph, trigger.normalise_configs(w.trigger_configs) as trigger_configs,
       w.version, w.edition, w.concurrency, w.adopt_newest, w.paused or p.experiment_id is not null as paused,
       w.disabled_reason, w.create_time, w.update_time
from trigger.workflows as w
join trigger.graphs as g on g.graph_hash = w.graph_hash
left join trigger.paused_experiments as p on p.experiment_id = w.experiment_id
where w.delete_time is null;

-- Enabling says that somebody has looked: what was refused before counts no more.
create function trigger.forget_refusals() returns trigger language plpgsql
security definer set search_path = pg_catalog
as $$
begin
    delete from trigger.refusal_counts where workflow_id = new.workflow_id;
    return null;
end
$$;

create trigger forget_refusals after update of disabled_reason on trigger.workflows
for each row when (old.disabled_reason is not null and new.disabled_reason is null)
execute function trigger.forget_refusals();

-- Ends the hold of the given firings, which the caller has locked: on to the dispatcher, or on into the next hold, or
-- CANCELLED where the trigger is off by now. Answers with each as it stands then.
create function trigger.release(chosen uuid[]) returns setof trigger.firings language sql volatile
as $$
    with judged as materialized (
        select f.firing_id,
               case when w.workflow_id is null or w.delete_time is not null then 'the workflow was deleted'
                    when f.trigger_type = 'MANUAL' then null
                    when w.disabled_reason is not null then w.disabled_reason
                    when i.config is null then 'the trigger was off when the firing was to be released'
                    when (i.config ->> 'expire_time')::timestamptz <= trigger.as_of()
                    then 'the trigger had expired when the firing was to be released'
               end as obstacle,
               f.trigger_type <> 'MANUAL' and (w.paused or p.experiment_id is not null) as is_paused,
               case when f.held_by = 'DEBOUNCE'
                    then f.next_attempt_time + trigger.span(i.config -> 'delay') end as delayed_until
        from trigger.firings as f
        left join trigger.workflows as w on w.workflow_id = f.workflow_id
        left join trigger.paused_experiments as p on p.experiment_id = w.experiment_id
        left join lateral (
            select x.config from trigger.trigger_index as x
            where x.workflow_id = f.workflow_id and x.trigger_type = f.trigger_type
            limit 1
        ) as i on true
        where f.firing_id = any (chosen) and f.state = 'HELD'
    )
    update trigger.firings as f
    set state = case when j.obstacle is not null then 'CANCELLED'
                     when j.delayed_until > trigger.as_of() or j.is_paused then 'HELD'
                     else 'QUEUED' end,
        held_by = case when j.obstacle is not null then ''
                       when j.delayed_until > trigger.as_of() then 'DELAY'
                       when j.is_paused then 'PAUSE'
                       else '' end,
        last_error = coalesce(j.obstacle, f.last_error),
        next_attempt_time = coalesce(j.delayed_until, f.next_attempt_time)
    from judged as j
    where f.firing_id = j.firing_id and f.state = 'HELD'
    returning f.*
$$;

-- A workflow's config for one type as it was at a revision of the experiment that it watches.
create function trigger.config_at(the_workflow uuid, watched text, at_revision bigint, the_type text) returns jsonb
language sql stable
as $$
    select coalesce((
        select config
        from trigger.config_history as h
        cross join lateral jsonb_array_elements(h.configs) as config
        where h.workflow_id = the_workflow and h.experiment_id = watched
          and h.valid_from <= at_revision and (h.valid_to is null or h.valid_to > at_revision)
          and config ->> 'trigger_type' = the_type
        limit 1
    ), jsonb_build_object('trigger_type', the_type, 'is_enabled', true))
$$;

-- Admits matches of triggers that debounce or have a limit: each becomes a firing, or joins one, or is decided against.
-- Locks: the triggers' counters in ascending order, then firings. Whoever holds a trigger's counter is alone with it.
create function trigger.admit(matches jsonb) returns void language plpgsql volatile
as $$
declare
    item record;
    counter trigger.limit_counters;
    standing trigger.firings;
    moment timestamptz;
    refusal text;
    why text := '';
begin
    insert into trigger.limit_counters (workflow_id, trigger_type)
    select distinct m.workflow_id, m.trigger_type
    from jsonb_to_recordset(matches) as m (workflow_id uuid, trigger_type text)
    order by m.workflow_id, m.trigger_type
    on conflict (workflow_id, trigger_type) do nothing;

    -- One by one, each by its key: a join would read every counter there is, not knowing how few are meant.
    for item in
        select distinct m.workflow_id, m.trigger_type
        from jsonb_to_recordset(matches) as m (workflow_id uuid, trigger_type text)
        order by m.workflow_id, m.trigger_type
    loop
        perform from trigger.limit_counters as c
        where c.workflow_id = item.workflow_id and c.trigger_type = item.trigger_type
        for no key update;
    end loop;

    for item in
        select m.* from jsonb_to_recordset(matches) as m (
            place integer, firing_id uuid, event_key uuid, workflow_id uuid, experiment_id text, watched_id text,
            event_id text, trigger_type text, workflow_version bigint, graph_hash text, depth integer, replay integer,
            paused boolean, delay interval, quiet_period interval, max_wait interval, max_firings integer,
            rate_max integer, rate_window interval, config jsonb)
        order by m.workflow_id, m.trigger_type, m.place
    loop
        moment := trigger.stamp();
        if item.quiet_period is not null then
            select * into standing from trigger.firings as f
            where f.workflow_id = item.workflow_id and f.trigger_type = item.trigger_type
              and f.state = 'HELD' and f.held_by = 'DEBOUNCE'
            for no key update;
            if found and standing.next_attempt_time > moment then
                -- Every event of a window that has more than one is DEBOUNCED, the one that opened it among them.
                insert into trigger.decisions (
                    event_key, workflow_id, replay, experiment_id, verdict, detail, config, firing_id)
                select held.event_key, item.workflow_id, held.replay, held.experiment_id, 'DEBOUNCED', held.detail,
                       held.config, standing.firing_id
                from (
                    select e.event_key, standing.replay, e.experiment_id,
                           format('event %s came before the quiet period was over and took its place', item.event_id),
                           trigger.config_at(item.workflow_id, e.experiment_id, e.revision, item.trigger_type)
                    from trigger.job_events as e where e.event_key = standing.event_key
                    union all
                    select item.event_key, item.replay, item.watched_id, 'came before the quiet period was over',
                           item.config
                ) as held (event_key, replay, experiment_id, detail, config)
                on conflict (event_key, workflow_id, replay) do update set detail = excluded.detail;
                update trigger.firings
                set event_key = item.event_key, event_id = item.event_id, replay = item.replay, depth = item.depth,
                    workflow_version = item.workflow_version, graph_hash = decode(item.graph_hash, 'hex'),
                    next_attempt_time = least(moment + item.quiet_period, create_time + item.max_wait)
                where firing_id = standing.firing_id;
                continue;
            end if;
            if found then
                -- Its time is up, and the release loop has not come by yet.
                perform trigger.release(array[standing.firing_id]);
            end if;
        end if;

        select * into counter from trigger.limit_counters
        where workflow_id = item.workflow_id and trigger_type = item.trigger_type;
        if item.rate_window is not null and coalesce(counter.window_start + item.rate_window <= moment, true) then
            counter.window_start := moment;
            counter.window_fired := 0;
        end if;
        refusal := null;
        if counter.fired >= item.max_firings then
            refusal := 'LIMIT_REACHED';
            why := format('all of its %s firings are used up', item.max_firings);
        elsif counter.window_fired >= item.rate_max then
            refusal := 'RATE_LIMITED';
            why := format('%s firings since %s; the window ends at %s', counter.window_fired,
                to_char(counter.window_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                to_char((counter.window_start + item.rate_window) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
        end if;
        if refusal is not null then
            insert into trigger.decisions (event_key, workflow_id, replay, experiment_id, verdict, detail, config)
            values (item.event_key, item.workflow_id, item.replay, item.watched_id, refusal, why, item.config)
            on conflict (event_key, workflow_id, replay) do nothing;
            continue;
        end if;
        update trigger.limit_counters
        set fired = counter.fired + case when item.max_firings is null then 0 else 1 end,
            window_start = counter.window_start,
            window_fired = counter.window_fired + case when item.rate_window is null then 0 else 1 end
        where workflow_id = item.workflow_id and trigger_type = item.trigger_type;

        insert into trigger.firings (
            firing_id, event_key, workflow_id, replay, experiment_id, event_id, trigger_type, workflow_version,
            graph_hash, depth, state, held_by, next_attempt_time, create_time)
        values (
            item.firing_id, item.event_key, item.workflow_id, item.replay, item.experiment_id, item.event_id,
            item.trigger_type, item.workflow_version, decode(item.graph_hash, 'hex'), item.depth,
            case when item.quiet_period is null and item.delay is null and not item.paused
                 then 'QUEUED' else 'HELD' end,
            case when item.quiet_period is not null then 'DEBOUNCE' when item.delay is not null then 'DELAY'
                 when item.paused then 'PAUSE' else '' end,
            moment + coalesce(least(item.quiet_period, item.max_wait), item.delay, interval '0'), moment);
        if item.paused and item.quiet_period is null and item.delay is null then
            insert into trigger.decisions (
                event_key, workflow_id, replay, experiment_id, verdict, detail, config, firing_id)
            values (item.event_key, item.workflow_id, item.replay, item.watched_id, 'PAUSED',
                'held until the pause ends', item.config, item.firing_id)
            on conflict (event_key, workflow_id, replay) do nothing;
        end if;
    end loop;
end
$$;

-- Configs that read differently now: options that were not there before, and the reason why damaged ones are off.
select trigger.derive(array(
    select w.workflow_id from trigger.workflows as w
    where w.delete_time is null and exists (
        select from trigger.config_history as h
        where h.workflow_id = w.workflow_id and h.valid_to is null
          and h.configs <> trigger.normalise_configs(w.trigger_configs))
    order by w.workflow_id));
