-- History is removed, keys are kept: an event past its retention loses what it says and its firings, and its row stays as the
-- key by which a repeated report is recognised. So a report and a purge meet on one row, and neither can miss the other.
alter table trigger.job_events add column purge_time timestamptz;

-- What is left to be purged, oldest first: keys are UUIDv7.
create index job_events_kept on trigger.job_events (event_key) where purge_time is null;

-- What is left to be forgotten altogether, oldest first.
create index job_events_purged on trigger.job_events (create_time) where purge_time is not null;

-- Firings that no job event caused are their own events, and purged by themselves.
create index firings_by_hand on trigger.firings (firing_id) where trigger_type = 'MANUAL';

create index requests_by_age on trigger.requests (create_time);
