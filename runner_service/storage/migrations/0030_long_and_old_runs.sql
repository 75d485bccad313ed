-- Logs that are compacted, and finished runs that are removed.

-- How many settled events retention took out of a run's inbox: the rest of the sequence must still be there.
alter table runner.runs add column events_removed bigint not null default 0;

-- Finished runs by their end. The columns of these indexes change when a run ends, or is compacted, and not with each
-- step, so that most updates of a run still touch no index.
create index runs_finished on runner.runs (end_time) where state in ('COMPLETED', 'FAILED', 'CANCELLED');
create index runs_compacted on runner.runs (run_id) where first_seq > 1;

-- What goes together with its run.
create index start_requests_of_run on runner.start_requests (run_id);
create index wake_choices_of_run on runner.wake_choices (run_id);
