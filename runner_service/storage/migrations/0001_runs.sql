-- The runner's tables. Every decision about a run locks its row in runner.runs first; what stands in other tables is only
-- written together with that row.

-- Tests replace the body of this function to move the time that all replicas compare; in production it is inlined away.
create function runner.clock_offset() returns interval language sql stable parallel safe
as $$ select interval '0' $$;

-- The moment at which a row is stamped.
create function runner.stamp() returns timestamptz language sql volatile
as $$ select clock_timestamp() + runner.clock_offset() $$;

-- The moment against which due times are compared: one value for a whole statement, so that indexes can serve it.
create function runner.as_of() returns timestamptz language sql stable
as $$ select statement_timestamp() + runner.clock_offset() $$;

-- A graph is stored once, however many runs execute it.
create table runner.graphs (
    graph_hash bytea primary key,
    graph jsonb not null,
    node_ids text[] not null,
    create_time timestamptz not null default runner.stamp()
);

-- A replica is alive while it prolongs its lease; a dead id never returns, so that a zombie is recognised by its id alone.
create table runner.replicas (
    replica_id uuid primary key,
    host text not null,
    pid integer not null,
    start_time timestamptz not null default runner.stamp(),
    lease_expire_time timestamptz not null,
    dead boolean not null default false
);
create index replicas_alive on runner.replicas (lease_expire_time) where not dead;

create table runner.runs (
    run_id uuid primary key,
    experiment_id text not null,
    workflow_id text not null,
    graph_hash bytea not null references runner.graphs,
    state text not null check (state in ('QUEUED', 'RUNNING', 'SUSPENDED', 'COMPLETED', 'FAILED', 'CANCELLED')),
    input jsonb,
    source jsonb not null default '{}',
    outputs jsonb,
    error jsonb,
    attempt integer not null default 1,
    priority integer not null default 0,
    -- The fence: every claim starts a new epoch, every commit of its holder is a step of it.
    epoch bigint not null default 0,
    step bigint not null default 0,
    owner_id uuid,
    -- Whether the holder is executing a node right now; a run that kills its replica while busy is counted in crashes.
    busy boolean not null default false,
    crashes integer not null default 0,
    first_seq bigint not null default 1,
    last_seq bigint not null default 0,
    last_inbox_seq bigint not null default 0,
    -- Nodes that will take no more events; a wake-up for them is told FINISHED instead of being buffered for nobody.
    closed_nodes text[] not null default '{}',
    suspended_node_ids text[] not null default '{}',
    ready_time timestamptz,
    create_time timestamptz not null default runner.stamp(),
    start_time timestamptz,
    update_time timestamptz not null default runner.stamp(),
    end_time timestamptz,
    deadline timestamptz
) with (fillfactor = 80); -- runs are updated many times; room in the page keeps most updates off the indexes

create index runs_ready on runner.runs (priority desc, ready_time) where state = 'QUEUED';
create index runs_ready_oldest on runner.runs (ready_time) where state = 'QUEUED';
create index runs_owned on runner.runs (owner_id) where owner_id is not null;
create index runs_cancelled on runner.runs (end_time) where state = 'CANCELLED';
create index runs_listed on runner.runs (experiment_id, run_id);
create index runs_by_workflow on runner.runs (workflow_id, run_id);

-- Which run a request_id made, so that a repeat is answered with the same run; kept longer than any firing is retried.
create table runner.start_requests (
    experiment_id text not null,
    request_id text not null,
    body_hash bytea not null,
    run_id uuid not null,
    create_time timestamptz not null default runner.stamp(),
    primary key (experiment_id, request_id)
);

-- The log is the truth: append-only, gapless in seq from the run's first_seq. The epoch shows who wrote a line.
create table runner.run_events (
    run_id uuid not null,
    seq bigint not null,
    event_type text not null,
    node_id text,
    activation text,
    payload jsonb,
    epoch bigint not null,
    create_time timestamptz not null default runner.stamp(),
    primary key (run_id, seq)
);

-- Trigger events addressed to a node of a run, first in, first out by inbox_seq; the first payload of an identity is kept.
create table runner.inbox (
    run_id uuid not null,
    inbox_seq bigint not null,
    node_id text not null,
    source text not null,
    event_id text not null,
    event jsonb not null,
    priority integer not null default 0,
    state text not null default 'PENDING' check (state in ('PENDING', 'CONSUMED', 'EXPIRED', 'DEAD_LETTERED')),
    reason text,
    activation text,
    expire_time timestamptz,
    create_time timestamptz not null default runner.stamp(),
    end_time timestamptz,
    primary key (run_id, inbox_seq),
    unique (run_id, node_id, source, event_id)
) with (fillfactor = 80);
create index inbox_pending on runner.inbox (run_id, inbox_seq) where state = 'PENDING';

-- One row a waiting node from the moment it waits: hot (suspend_time is null) or suspended.
create table runner.waits (
    run_id uuid not null,
    node_id text not null,
    activation text not null,
    node_type text not null,
    reason text,
    state jsonb not null default '{}',
    metadata jsonb not null default '{}',
    wake_time timestamptz,
    priority integer not null default 0,
    create_time timestamptz not null default runner.stamp(),
    suspend_time timestamptz,
    primary key (run_id, node_id)
) with (fillfactor = 80);
create index waits_due on runner.waits (wake_time) where wake_time is not null;
create index waits_listed on runner.waits (create_time, run_id, node_id);

-- External jobs that RunJob started: found again after a restart, one per attempt of a node.
create table runner.jobs (
    job_id uuid primary key,
    run_id uuid not null,
    node_id text not null,
    activation text not null,
    experiment_id text not null,
    job_type text not null,
    job_name text not null,
    backend text not null,
    spec jsonb not null,
    handle jsonb,
    state text not null check (state in ('SUBMITTED', 'RUNNING', 'STOPPING', 'FINISHED')),
    host text not null,
    owner_id uuid,
    result jsonb,
    create_time timestamptz not null default runner.stamp(),
    end_time timestamptz
);
create index jobs_open on runner.jobs (host, job_id) where state <> 'FINISHED';
create index jobs_of_run on runner.jobs (run_id);

-- What trigger_service is still to be told; written with the log, delivered at least once.
create table runner.outbox (
    outbox_id bigint generated always as identity primary key,
    kind text not null check (kind in ('JOB_EVENT', 'RUN_STATE')),
    payload jsonb not null,
    attempts integer not null default 0,
    next_attempt_time timestamptz not null default runner.stamp(),
    last_error text
);
create index outbox_due on runner.outbox (next_attempt_time, outbox_id);

-- Which run a wake-up by workflow chose, so that its retry never wakes another one.
create table runner.wake_choices (
    experiment_id text not null,
    workflow_id text not null,
    node_id text not null,
    source text not null,
    event_id text not null,
    run_id uuid not null,
    create_time timestamptz not null default runner.stamp(),
    primary key (experiment_id, workflow_id, node_id, source, event_id)
);
