-- Jobs that others write into trigger.jobs by SQL, and jobs that fall silent.

-- The event by which a report of ours brought the job to its status. Only this service writes it, a new one each time: a
-- row that changes without it was changed by somebody else.
alter table trigger.jobs add column event_key uuid;

-- What others wrote, waiting to be matched: kept beside the job and without any unique key, so that recording it can
-- neither fail nor wait for a report of the same job. Rows live for about a second; those with a problem stay for people.
create table trigger.written_jobs (
    written_id bigint generated always as identity primary key,
    experiment_id text not null,
    job_id text not null,
    attempt integer not null,
    job_type text not null,
    job_name text not null,
    status text not null,
    attributes jsonb not null,
    -- The experiment's revision as the writer saw it: what was off then never fires later.
    revision bigint not null,
    write_time timestamptz not null default trigger.stamp(),
    -- Matched already, but somebody held the job's row, so that it could not be said there yet.
    matched_time timestamptz,
    problem text
);
-- The sweep's questions; as small as the backlog, whatever problems pile up.
create index written_jobs_pending on trigger.written_jobs (written_id) where problem is null and matched_time is null;
create index written_jobs_unsaid on trigger.written_jobs (matched_time) where matched_time is not null;

-- Security definer: whoever may write jobs need not be allowed to write here. No value can make it raise: every column has
-- the type that the job's own has, and nothing here is checked.
create function trigger.note_written_job() returns trigger language plpgsql
security definer set search_path = pg_catalog
as $$
begin
    insert into trigger.written_jobs (experiment_id, job_id, attempt, job_type, job_name, status, attributes, revision)
    values (
        new.experiment_id, new.job_id, new.attempt, new.job_type, new.job_name, new.status, new.attributes,
        coalesce((select e.revision from trigger.experiments as e where e.experiment_id = new.experiment_id), 0));
    return null;
end
$$;

-- A status is what makes an event; words that are none make none. A job whose type comes after its status is noted then.
create trigger note_inserted_job after insert on trigger.jobs for each row
when (new.event_key is null and new.job_type <> '' and new.status in (
    'QUEUED', 'LAUNCHING', 'RUNNING', 'COMPLETE', 'FAILED', 'STOPPED', 'CANCELLED', 'UNAUTHORIZED', 'DELETED'))
execute function trigger.note_written_job();

create trigger note_updated_job after update of status, job_type on trigger.jobs for each row
when ((new.event_key is null or new.event_key is not distinct from old.event_key)
    and (new.status is distinct from old.status or old.job_type = '')
    and new.job_type <> '' and new.status in (
    'QUEUED', 'LAUNCHING', 'RUNNING', 'COMPLETE', 'FAILED', 'STOPPED', 'CANCELLED', 'UNAUTHORIZED', 'DELETED'))
execute function trigger.note_written_job();

-- Configs that ended after a given revision: together with the index of enabled configs, what was valid at that revision.
create index config_history_ended on trigger.config_history (experiment_id, valid_to) where valid_to is not null;

-- Jobs that promised to report RUNNING again within a time. A table of its own, so that heartbeats leave the wide rows of
-- jobs alone. Rows of jobs that ended are removed when they come due. fillfactor 50: rows are only ever updated.
create table trigger.heartbeats (
    experiment_id text not null,
    job_id text not null,
    attempt integer not null,
    heartbeat_timeout interval not null,
    heard_time timestamptz not null default trigger.stamp(),
    due_time timestamptz not null,
    -- What caused the job: its loss must count in the same chain of runs.
    depth integer not null default 0,
    cause_run_id text not null default '',
    primary key (experiment_id, job_id, attempt)
) with (fillfactor = 50);
create index heartbeats_due on trigger.heartbeats (due_time);

-- The role for legacy systems: it writes jobs and nothing else, and only what is theirs to say of a job; it reads the same,
-- because an upsert and an update of certain rows must. Where this migration may not create roles, deploy/postgres/roles.sql
-- does.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'jobs_writer') then
        create role jobs_writer nologin;
    end if;
exception
    -- Another database of this server may be migrated at this moment: roles belong to the whole server.
    when insufficient_privilege or duplicate_object or unique_violation then null;
end
$$;

do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'jobs_writer') then
        grant usage on schema trigger to jobs_writer;
        grant select (experiment_id, job_id, attempt, job_type, job_name, status, attributes, update_time),
              insert (experiment_id, job_id, attempt, job_type, job_name, status, attributes, update_time),
              update (job_type, job_name, status, attributes, update_time)
        on trigger.jobs to jobs_writer;
    end if;
end
$$;
