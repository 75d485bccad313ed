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
