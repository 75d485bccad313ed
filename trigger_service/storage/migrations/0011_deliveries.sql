-- Job events that the runner has not been told yet: written with the event, deleted when the runner has it. fillfactor 70: a
-- row is updated once or twice in its short life.
create table trigger.deliveries (
    event_key uuid primary key,
    -- Not before this time: the lease of whoever is delivering it just now, or the pause after a failure.
    next_attempt_time timestamptz not null default trigger.stamp(),
    attempts integer not null default 0,
    create_time timestamptz not null default trigger.stamp()
) with (fillfactor = 70);
-- Oldest first among those that are due; the table holds the backlog only.
create index deliveries_due on trigger.deliveries (next_attempt_time, event_key);
