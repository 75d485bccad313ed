-- name: read_logs
-- The whole logs of several runs, each in order.
select run_id, seq, event_type, node_id, activation, payload, epoch, create_time
from runner.run_events
where run_id = any($1::uuid[])
order by run_id, seq;

-- name: list_run_events
-- Bounded in bytes as well: one line may hold an output of a megabyte, and a page has to fit into a message. $5 counts the
-- line after the page, which tells whether there is more.
with found as (
    select run_id, seq, event_type, node_id, activation, payload, epoch, create_time
    from runner.run_events
    where run_id = $1 and seq > $2
      and (cardinality($3::text[]) = 0 or event_type = any($3))
      and ($4::text is null or node_id = $4)
    order by seq
    limit $5
),
measured as (
    select found.*, count(*) over () as total,
           coalesce(sum(octet_length(payload::text)) over (
               order by seq rows between unbounded preceding and 1 preceding), 0) as bytes_before
    from found
)
select run_id, seq, event_type, node_id, activation, payload, epoch, create_time, total
from measured
where bytes_before < $6
order by seq;

-- name: lock_held_run
-- Only while it is held in this epoch; a statement of its own, so that the log that is read next is whole.
select run_id from runner.runs where run_id = $1 and epoch = $2 and state = 'RUNNING' for no key update;

-- name: write_snapshot
-- Under the lock on its run. The line becomes the first of the log; those before it are dropped next.
with moved as (
    update runner.runs set first_seq = last_seq + 1, last_seq = last_seq + 1
    where run_id = $1
    returning run_id, last_seq, epoch
)
insert into runner.run_events (run_id, seq, event_type, payload, epoch)
select run_id, last_seq, $2, $3::jsonb, epoch from moved;

-- name: drop_lines_before_first
delete from runner.run_events e
using runner.runs r
where r.run_id = $1 and e.run_id = r.run_id and e.seq < r.first_seq;
