-- The trigger side's tables. workflows.trigger_configs is the truth about triggers, whoever wrote it; what matching and
-- explaining read is derived from it by database triggers, in the writer's own transaction.

-- Tests replace the body of this function to move the time that all replicas compare; in production it is inlined away.
create function trigger.clock_offset() returns interval language sql stable parallel safe
as $$ select interval '0' $$;

-- The moment at which a row is stamped.
create function trigger.stamp() returns timestamptz language sql volatile
as $$ select clock_timestamp() + trigger.clock_offset() $$;

-- The moment against which due times are compared: one value for a whole statement, so that indexes can serve it.
create function trigger.as_of() returns timestamptz language sql stable
as $$ select statement_timestamp() + trigger.clock_offset() $$;

-- The trigger types on offer, filled from the settings when a replica starts. A handful of rows: no index but the key.
create table trigger.blueprints (
    trigger_type text primary key check (octet_length(trigger_type) between 1 and 64),
    position integer not null unique,
    name text not null,
    description text not null,
    default_is_enabled boolean not null
);

-- One row per experiment that a config ever watched. The revision advances with every config edit that concerns it.
-- fillfactor 50: tiny rows that are only ever updated, so that every update stays on its page (HOT).
create table trigger.experiments (
    experiment_id text primary key check (octet_length(experiment_id) between 1 and 255),
    revision bigint not null default 0
) with (fillfactor = 50);

-- A graph is stored once, however many workflows and versions share it. Never updated: the default fillfactor.
create table trigger.graphs (
    graph_hash bytea primary key,
    graph jsonb not null,
    create_time timestamptz not null default trigger.stamp()
);

-- fillfactor 80: edits are rare, but rows are wide and should stay on their page.
create table trigger.workflows (
    workflow_id uuid primary key,
    experiment_id text not null check (octet_length(experiment_id) between 1 and 255),
    name text not null,
    graph_hash bytea not null references trigger.graphs,
    trigger_configs jsonb,
    -- The graph's version, which firings pin; the edition counts every edit and is the etag.
    version bigint not null default 1,
    edition bigint not null default 1,
    concurrency jsonb,
    adopt_newest boolean not null default false,
    paused boolean not null default false,
    disabled_reason text,
    create_time timestamptz not null default trigger.stamp(),
    update_time timestamptz not null default trigger.stamp(),
    delete_time timestamptz
) with (fillfactor = 80);
-- Serves ListWorkflows of one experiment in its order; deleted ones are never listed.
create index workflows_listed on trigger.workflows (experiment_id, workflow_id) where delete_time is null;

-- What matching reads: one row per enabled config and experiment that it watches. Rewritten as a whole per workflow, hence
-- the default fillfactor; nothing here is ever updated in place.
create table trigger.trigger_index (
    experiment_id text not null,
    trigger_type text not null,
    workflow_id uuid not null,
    on_statuses text[] not null,
    config jsonb not null,
    primary key (experiment_id, trigger_type, workflow_id)
);
-- Rewriting a workflow's rows and listing workflows by an enabled type both come by workflow.
create index trigger_index_by_workflow on trigger.trigger_index (workflow_id, trigger_type);

-- Configs with the revisions of the watched experiment for which they were valid, valid_from inclusive, valid_to exclusive:
-- together with the revision that an event keeps, every past decision can be derived again. fillfactor 90: a row is
-- updated once, when it ends.
create table trigger.config_history (
    experiment_id text not null,
    workflow_id uuid not null,
    valid_from bigint not null,
    valid_to bigint,
    configs jsonb not null,
    disabled_reason text,
    paused boolean not null,
    primary key (experiment_id, workflow_id, valid_from)
) with (fillfactor = 90);
-- The configs of this moment: unique, so that no two rows can claim to be the current one.
create unique index config_history_current on trigger.config_history (workflow_id, experiment_id) where valid_to is null;
create index config_history_current_by_experiment on trigger.config_history (experiment_id) where valid_to is null;

-- Legacy systems may write this table directly. fillfactor 70: a row is updated with every status of its job, no index
-- covers what changes, and so each update is HOT.
create table trigger.jobs (
    experiment_id text not null check (octet_length(experiment_id) between 1 and 255),
    job_id text not null check (octet_length(job_id) between 1 and 255),
    attempt integer not null default 1 check (attempt >= 1),
    job_type text not null default '',
    job_name text not null default '',
    status text not null default '',
    attributes jsonb not null default '{}',
    update_time timestamptz not null default trigger.stamp(),
    triggers_processed_time timestamptz,
    primary key (experiment_id, job_id, attempt)
) with (fillfactor = 70);

-- Append-only: the default fillfactor. The two unique keys are the two ways in which a report can repeat itself.
create table trigger.job_events (
    event_key uuid primary key,
    experiment_id text not null,
    source text not null default '',
    event_id text not null,
    job_id text not null,
    attempt integer not null,
    status text not null,
    job_type text not null,
    job_name text not null,
    attributes jsonb not null default '{}',
    occur_time timestamptz not null,
    heartbeat_timeout interval,
    depth integer not null default 0,
    cause_run_id text not null default '',
    trace_parent text not null default '',
    -- The revision of the experiment's configs that this event was matched against.
    revision bigint not null,
    create_time timestamptz not null default trigger.stamp(),
    unique (experiment_id, job_id, attempt, status),
    unique (experiment_id, source, event_id)
);

-- Outbox and history at once. No foreign keys: this is the hot path, and a key-share lock on a workflow's row would make every
-- event of an experiment write to that row. fillfactor 85: a firing changes its state two or three times in its life.
create table trigger.firings (
    firing_id uuid primary key,
    event_key uuid not null,
    workflow_id uuid not null,
    replay integer not null default 0,
    experiment_id text not null,
    event_id text not null default '',
    trigger_type text not null,
    workflow_version bigint not null,
    graph_hash bytea not null,
    -- Given input (RunWorkflow); null: it is made from the event when the firing is dispatched.
    input jsonb,
    -- How many runs stand before this firing's in the chain of causes.
    depth integer not null default 0,
    state text not null check (
        state in ('QUEUED', 'DISPATCHING', 'DISPATCHED', 'RETRYING', 'HELD', 'DEAD', 'CANCELLED')
    ),
    attempts integer not null default 0,
    refusals integer not null default 0,
    next_attempt_time timestamptz not null default trigger.stamp(),
    lease_id uuid,
    lease_expire_time timestamptz,
    held_by text not null default '',
    last_error text not null default '',
    run_id text not null default '',
    run_state text not null default '',
    run_end_time timestamptz,
    -- Which attempt of the run the state is of: reports come at least once and in any order, the larger one stands.
    run_attempt integer not null default 0,
    create_time timestamptz not null default trigger.stamp(),
    dispatch_time timestamptz,
    -- One firing per event and workflow, and the way from an event to its firings.
    unique (event_key, workflow_id, replay)
) with (fillfactor = 85);
-- The dispatcher's two questions; both indexes hold only firings in flight, so they stay as small as the backlog.
create index firings_due on trigger.firings (next_attempt_time, firing_id) where state in ('QUEUED', 'RETRYING');
create index firings_leased on trigger.firings (lease_expire_time) where state = 'DISPATCHING';
-- A workflow's firings, newest first.
create index firings_by_workflow on trigger.firings (workflow_id, firing_id desc);
-- The same for an experiment: without it a quiet experiment's page would walk through everybody's history.
create index firings_by_experiment on trigger.firings (experiment_id, firing_id desc);

-- What a request_id was used for. Insert-only: the default fillfactor.
create table trigger.requests (
    experiment_id text not null,
    method text not null,
    request_id text not null,
    body_hash bytea not null,
    result_id uuid not null,
    create_time timestamptz not null default trigger.stamp(),
    primary key (experiment_id, method, request_id)
);

-- A stored time as RFC 3339 in UTC, or null when it is none. Relative words ('now', 'tomorrow') are none.
create function trigger.canonical_time(stored text) returns text language plpgsql stable parallel safe
as $$
declare
    moment timestamptz;
begin
    if stored !~ '^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$' then
        return null;
    end if;
    moment := stored::timestamptz;
    if moment not between '0001-01-02 00:00:00+00'::timestamptz and '9999-12-30 00:00:00+00'::timestamptz then
        return null;
    end if;
    return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
exception when others then
    return null;
end
$$;

-- Whether a stored value is a list of strings.
create function trigger.is_text_list(stored jsonb) returns boolean language sql immutable parallel safe
as $$
    select case when jsonb_typeof(stored) = 'array'
                then not jsonb_path_exists(stored, 'strict $[*] ? (@.type() != "string")')
                else false end
$$;

-- Whether a stored value is a list of ids that an experiment can have.
create function trigger.is_id_list(stored jsonb) returns boolean language sql immutable parallel safe
as $$
    select case when trigger.is_text_list(stored)
                then not exists (
                    select from jsonb_array_elements_text(stored) as id where octet_length(id) not between 1 and 255)
                else false end
$$;

-- Whether an option of a stored config has a form that cannot be honoured. Dropping such an option would make the trigger
-- fire more often than its author wanted, so the whole trigger is off instead. Options of later versions count as well.
create function trigger.has_damaged_option(config jsonb) returns boolean language sql stable parallel safe
as $$
    select coalesce(jsonb_typeof(config -> 'condition') <> 'string', false)
        or coalesce(jsonb_typeof(config -> 'job_name_pattern') <> 'string', false)
        or (config ? 'on_statuses' and not trigger.is_text_list(config -> 'on_statuses'))
        or (config ? 'source_experiment_ids' and not trigger.is_id_list(config -> 'source_experiment_ids'))
        or (config ? 'expire_time' and trigger.canonical_time(config ->> 'expire_time') is null)
        or config ?| array['delay', 'debounce', 'max_firings', 'rate_limit', 'while_paused']
$$;

-- One stored config, known to be an object of this type, in the form that everybody reads.
create function trigger.normalise_config(stored jsonb, trigger_type text, default_is_enabled boolean) returns jsonb
language sql stable parallel safe
as $$
    select case when trigger.has_damaged_option(config)
        then jsonb_build_object('trigger_type', trigger_type, 'is_enabled', false)
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
        end
    from (select jsonb_strip_nulls(stored) as config) as stripped
$$;

-- The one normaliser: whatever is stored, one config per blueprint comes out, in the blueprints' order; the first config of a
-- type wins, unknown ones are dropped, missing ones are as the blueprint says. It never raises.
create function trigger.normalise_configs(stored jsonb) returns jsonb language sql stable parallel safe
as $$
    select coalesce(jsonb_agg(
        coalesce(
            (select trigger.normalise_config(item.config, b.trigger_type, b.default_is_enabled)
             from jsonb_array_elements(case when jsonb_typeof(stored) = 'array' then stored else '[]' end)
                  with ordinality as item (config, place)
             where jsonb_typeof(item.config) = 'object'
               and item.config -> 'trigger_type' = to_jsonb(b.trigger_type)
             order by item.place
             limit 1),
            jsonb_build_object('trigger_type', b.trigger_type, 'is_enabled', b.default_is_enabled)
        ) order by b.position), '[]')
    from trigger.blueprints as b
$$;

-- Derives the index and the history of the given workflows again. The caller's transaction holds their rows, so two calls
-- for one workflow follow each other; the experiments' rows are then locked in ascending order by the upsert.
create function trigger.derive(changed uuid[]) returns void language plpgsql
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
    insert into trigger.config_history (experiment_id, workflow_id, valid_from, configs, disabled_reason, paused)
    select e.experiment_id, n.workflow_id, e.revision, n.configs, n.disabled_reason, n.paused
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

create function trigger.stamp_workflow() returns trigger language plpgsql
as $$
begin
    if (new.name, new.graph_hash, new.trigger_configs, new.concurrency, new.adopt_newest, new.paused,
        new.disabled_reason, new.delete_time)
       is distinct from
       (old.name, old.graph_hash, old.trigger_configs, old.concurrency, old.adopt_newest, old.paused,
        old.disabled_reason, old.delete_time)
    then
        new.edition := old.edition + 1;
        new.version := old.version + case when new.graph_hash <> old.graph_hash then 1 else 0 end;
        new.update_time := trigger.stamp();
    end if;
    return new;
end
$$;

-- Every edit is counted, also one that came by foreign SQL: etags and pinned versions rest on it.
create trigger stamp_workflow before update on trigger.workflows
for each row execute function trigger.stamp_workflow();

-- Security definer: whoever may write workflows need not be allowed to write what is derived from them.
create function trigger.derive_inserted() returns trigger language plpgsql
security definer set search_path = pg_catalog
as $$
begin
    perform trigger.derive(array(select workflow_id from after order by workflow_id));
    return null;
end
$$;

create function trigger.derive_updated() returns trigger language plpgsql
security definer set search_path = pg_catalog
as $$
declare
    changed uuid[] := array(
        select a.workflow_id
        from after as a
        join before as b on b.workflow_id = a.workflow_id
        where (a.experiment_id, a.trigger_configs, a.disabled_reason, a.paused, a.delete_time)
              is distinct from
              (b.experiment_id, b.trigger_configs, b.disabled_reason, b.paused, b.delete_time)
        order by a.workflow_id
    );
begin
    if cardinality(changed) > 0 then
        perform trigger.derive(changed);
    end if;
    return null;
end
$$;

create function trigger.derive_deleted() returns trigger language plpgsql
security definer set search_path = pg_catalog
as $$
begin
    perform trigger.derive(array(select workflow_id from before order by workflow_id));
    return null;
end
$$;

create trigger derive_inserted after insert on trigger.workflows
referencing new table as after for each statement execute function trigger.derive_inserted();

create trigger derive_updated after update on trigger.workflows
referencing old table as before new table as after for each statement execute function trigger.derive_updated();

create trigger derive_deleted after delete on trigger.workflows
referencing old table as before for each statement execute function trigger.derive_deleted();

-- Workflows as callers see them: configs normalised, graph at hand, deleted ones gone.
create view trigger.live_workflows as
select w.workflow_id, w.experiment_id, w.name, g.graph, trigger.normalise_configs(w.trigger_configs) as trigger_configs,
       w.version, w.edition, w.concurrency, w.adopt_newest, w.paused, w.disabled_reason, w.create_time, w.update_time
from trigger.workflows as w
join trigger.graphs as g on g.graph_hash = w.graph_hash
where w.delete_time is null;

-- Puts the given blueprints on offer. Where that changes anything, every workflow is derived again, because defaults and
-- unknown types follow the offer. Returns whether it did.
create function trigger.offer_blueprints(offered jsonb) returns boolean language plpgsql
as $$
declare
    current jsonb;
begin
    lock table trigger.blueprints in exclusive mode;
    select coalesce(jsonb_agg(jsonb_build_object(
        'trigger_type', trigger_type, 'name', name, 'description', description,
        'default_is_enabled', default_is_enabled) order by position), '[]')
    into current from trigger.blueprints;
    if current = offered then
        return false;
    end if;
    delete from trigger.blueprints;
    insert into trigger.blueprints (trigger_type, position, name, description, default_is_enabled)
    select item.trigger_type, place, item.name, item.description, item.default_is_enabled
    from jsonb_array_elements(offered) with ordinality as listed (config, place)
    cross join lateral jsonb_to_record(listed.config)
        as item (trigger_type text, name text, description text, default_is_enabled boolean);
    perform trigger.derive(array(
        select workflow_id from trigger.workflows where delete_time is null order by workflow_id));
    return true;
end
$$;
