-- Topics and job events: who listens, what was published, and who is still to get it.

-- What publishing (with a ttl) and registering a wait lock first, so that neither misses the other. The job events of an
-- experiment are its topic ''.
create table runner.topics (
    experiment_id text not null,
    topic text not null,
    lock_time timestamptz not null default runner.stamp(),
    primary key (experiment_id, topic)
) with (fillfactor = 50);

-- Which waits listen to a topic. A row lives from the node's first wait until the node takes no more events; between two
-- waits of one node its events are kept in its inbox.
create table runner.topic_waits (
    run_id uuid not null,
    node_id text not null,
    topic text not null,
    experiment_id text not null,
    workflow_id text not null,
    primary key (run_id, node_id, topic)
);
create index topic_waits_by_topic on runner.topic_waits (experiment_id, topic, run_id, node_id);

-- Which waits listen for job events, one row a job type; '' is any type. experiment_id is the jobs', not the run's.
create table runner.job_waits (
    run_id uuid not null,
    node_id text not null,
    experiment_id text not null,
    job_type text not null,
    statuses text[] not null,
    job_name_pattern text not null,
    condition text not null,
    since timestamptz not null,
    primary key (run_id, node_id, experiment_id, job_type)
);
create index job_waits_by_type on runner.job_waits (experiment_id, job_type);

-- What was published, and the retained copy of job events (topic ''). Kept until forget_time, so that a repetition is
-- known; given to waits that begin later until retain_until.
create table runner.publications (
    publication_id bigint generated always as identity primary key,
    experiment_id text not null,
    topic text not null,
    source text not null,
    event_id text not null,
    event jsonb not null,
    event_bytes bigint not null,
    priority integer not null default 0,
    expire_time timestamptz,
    job_type text,
    status text,
    occur_time timestamptz,
    woken_count integer not null default 0,
    woken jsonb not null default '[]',
    create_time timestamptz not null default runner.stamp(),
    retain_until timestamptz,
    forget_time timestamptz not null,
    unique (experiment_id, topic, source, event_id)
);
create index publications_retained on runner.publications (experiment_id, topic, publication_id)
    where retain_until is not null;
create index publications_forgotten on runner.publications (forget_time);

-- Which event is still to be put into which inbox. Written by whoever publishes or registers, in the same transaction.
create table runner.fan_out (
    fan_out_id bigint generated always as identity primary key,
    publication_id bigint not null,
    run_id uuid not null,
    node_id text not null,
    due_time timestamptz not null default runner.stamp()
);
create index fan_out_by_publication on runner.fan_out (publication_id, run_id, node_id);

-- However a run ends, it stops listening in the same transaction.
create function runner.stop_listening() returns trigger language plpgsql as $$
begin
    delete from runner.topic_waits where run_id = new.run_id;
    delete from runner.job_waits where run_id = new.run_id;
    return null;
end
$$;
create trigger runs_stop_listening after update of state on runner.runs for each row
    when (new.state in ('COMPLETED', 'FAILED', 'CANCELLED') and old.state not in ('COMPLETED', 'FAILED', 'CANCELLED'))
    execute function runner.stop_listening();
