-- name: read_logs
-- The whole logs of several runs, each in order.
select run_id, seq, event_type, node_id, activation, payload, epoch, create_time
from runner.run_events
where run_id = any($1::uuid[])
order by run_id, seq;

-- name: list_run_events
select run_id, seq, event_type, node_id, activation, payload, epoch, create_time
from runner.run_events
where run_id = $1 and seq > $2
  and (cardinality($3::text[]) = 0 or event_type = any($3))
  and ($4::text is null or node_id = $4)
order by seq
limit $5;
