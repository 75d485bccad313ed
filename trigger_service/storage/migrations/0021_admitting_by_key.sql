-- Replaces trigger.admit: it locks the counters that it needs by their keys.

-- Admits matches of triggers that debounce or have a limit: each becomes a firing, or joins one, or is decided against.
-- Locks: the triggers' counters in ascending order, then firings. Whoever holds a trigger's counter is alone with it.
create or replace function trigger.admit(matches jsonb) returns void language plpgsql volatile
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
