-- How old a wait may become, how it fares, and events that are delivered again.

alter table runner.waits
    -- When the wait ends without an event; taken from the row by whoever ends it.
    add column expire_time timestamptz,
    add column stale_time timestamptz,
    add column stale_policy text not null default 'none' check (stale_policy in ('none', 'expire', 'cancel')),
    -- How many attempts of this passage failed before the node waited again.
    add column failures integer not null default 0,
    -- What the log was told last; what is shown is computed.
    add column health text not null default 'OK' check (health in ('OK', 'OVERDUE', 'STALE', 'FAILING'));
create index waits_expiring on runner.waits (expire_time) where expire_time is not null;
create index waits_growing_stale on runner.waits (stale_time) where stale_time is not null;
create index waits_failing on runner.waits (run_id, node_id) where failures >= 3;
create index waits_unwell on runner.waits (health) where health <> 'OK';

-- How a wait fares at a moment. One that fails again and again is told as that, whatever its times say.
create function runner.health_of(w runner.waits, moment timestamptz) returns text language sql stable
as $$ select case
    when w.failures >= 3 then 'FAILING'
    when w.wake_time <= moment then 'OVERDUE'
    when w.stale_time <= moment then 'STALE'
    else 'OK' end $$;

create index inbox_expiring on runner.inbox (expire_time) where state = 'PENDING' and expire_time is not null;

-- Which events a request to deliver again made, so that its repetition makes none.
create table runner.redeliveries (
    experiment_id text not null,
    request_id text not null,
    body_hash bytea not null,
    run_id uuid not null,
    inbox_seqs bigint[] not null default '{}',
    create_time timestamptz not null default runner.stamp(),
    primary key (experiment_id, request_id)
);
