-- A job that outlived its runner may be run again; each time is an attempt.
alter table runner.jobs add column attempt integer not null default 1;

-- Finished jobs by their end, for the removal of their files.
create index jobs_finished on runner.jobs (host, end_time) where state = 'FINISHED';

-- What is told about one subject is told in the order in which it happened. What trigger_service refused for its own sake
-- is not tried again; it stays for a while for people to see.
alter table runner.outbox
    add column subject text not null
        generated always as (coalesce(payload ->> 'job_id', payload ->> 'firing_id', '')) stored,
    add column create_time timestamptz not null default runner.stamp(),
    add column refuse_time timestamptz;

drop index runner.outbox_due;
create index outbox_due on runner.outbox (next_attempt_time, outbox_id) where refuse_time is null;
create index outbox_in_order on runner.outbox (subject, outbox_id) where refuse_time is null;
create index outbox_refused on runner.outbox (refuse_time) where refuse_time is not null;
