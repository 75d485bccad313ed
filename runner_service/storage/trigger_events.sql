-- name: list_trigger_events
-- Bounded in bytes as well, since one event may hold a megabyte; $5 counts the event after the page.
with found as (
    select inbox_seq, source, event_id, event, priority, expire_time, state, reason
    from runner.inbox
    where run_id = $1 and node_id = $2 and inbox_seq > $3
      and (cardinality($4::text[]) = 0 or state = any($4))
    order by inbox_seq
    limit $5
),
measured as (
    select found.*, count(*) over () as total,
           coalesce(sum(octet_length(event::text)) over (
               order by inbox_seq rows between unbounded preceding and 1 preceding), 0) as bytes_before
    from found
)
select inbox_seq, source, event_id, event, priority, expire_time, state, reason, total
from measured
where bytes_before < $6
order by inbox_seq;

-- name: get_trigger_events
-- By their ids or, where none are named, all that nobody consumed.
select inbox_seq, source, event_id, event, priority, expire_time, state, reason
from runner.inbox
where run_id = $1 and node_id = $2
  and (event_id = any($3::text[])
       or (cardinality($3::text[]) = 0 and state in ('EXPIRED', 'DEAD_LETTERED') and not source = any($4::text[])))
order by inbox_seq
limit $5;

-- name: get_trigger_events_by_seq
select inbox_seq, source, event_id, event, priority, expire_time, state, reason
from runner.inbox
where run_id = $1 and inbox_seq = any($2::bigint[])
order by inbox_seq;

-- name: insert_redelivery
-- A concurrent repetition waits here for the first one's commit and then comes back with nothing.
insert into runner.redeliveries (experiment_id, request_id, body_hash, run_id)
values ($1, $2, $3, $4)
on conflict do nothing
returning request_id;

-- name: get_redelivery
select body_hash, inbox_seqs from runner.redeliveries where experiment_id = $1 and request_id = $2;

-- name: complete_redelivery
update runner.redeliveries set inbox_seqs = $3 where experiment_id = $1 and request_id = $2;

-- name: late_events
-- Candidates: events whose time is over in inboxes that nobody holds. A holder sees to its own.
select distinct i.run_id
from runner.inbox i
join runner.runs r using (run_id)
where i.state = 'PENDING' and i.expire_time <= runner.as_of() and r.state in ('QUEUED', 'SUSPENDED')
limit $1;

-- name: expire_events
-- The runs are locked, and those that somebody has claimed meanwhile are left out by the caller.
update runner.inbox
set state = 'EXPIRED', reason = 'its expire_time passed', end_time = runner.stamp()
where run_id = any($1::uuid[]) and state = 'PENDING' and expire_time <= runner.as_of()
returning run_id, inbox_seq, node_id, event_id;
