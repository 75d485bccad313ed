-- Runs that exclude each other, and runs with a deadline.

-- Whoever starts a run with a key locks its row here first, before any run: starts of one key are decided one after the
-- other, and each gets the next turn.
create table runner.concurrency_keys (
    experiment_id text not null,
    workflow_id text not null,
    concurrency_key text not null,
    last_turn bigint not null,
    update_time timestamptz not null default runner.stamp(),
    primary key (experiment_id, workflow_id, concurrency_key)
) with (fillfactor = 50);

alter table runner.runs
    add column concurrency_key text,
    add column turn bigint,
    -- QUEUED, but not to be claimed: it is not its turn yet.
    add column behind boolean not null default false;
create index runs_of_key on runner.runs (experiment_id, workflow_id, concurrency_key, turn)
    where concurrency_key is not null and state in ('QUEUED', 'RUNNING', 'SUSPENDED');
create index runs_behind on runner.runs (experiment_id, workflow_id, concurrency_key, turn)
    where behind and state = 'QUEUED';
create index runs_with_deadline on runner.runs (deadline)
    where deadline is not null and state in ('QUEUED', 'RUNNING', 'SUSPENDED');
create index runs_overrun on runner.runs (end_time) where deadline is not null and state = 'FAILED';

-- Ready are those whose turn it is.
create index runs_claimable on runner.runs (priority desc, ready_time) where state = 'QUEUED' and not behind;
create index runs_claimable_oldest on runner.runs (ready_time) where state = 'QUEUED' and not behind;
drop index runner.runs_ready;
drop index runner.runs_ready_oldest;

-- A request that started nothing, because another run with its key was unfinished, starts nothing when it is repeated.
alter table runner.start_requests add column skipped boolean not null default false;
