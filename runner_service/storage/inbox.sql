-- name: read_pending
-- What is still to be taken, oldest first. Only rows beyond $2 are new to a holder that has seen that far.
select run_id, inbox_seq, node_id, source, event_id, event, expire_time
from runner.inbox
where run_id = any($1::uuid[]) and inbox_seq > $2 and state = 'PENDING'
order by run_id, inbox_seq;

-- name: read_addresses
-- What the addressed nodes are doing; read after their runs were locked.
select a.number,
       a.node_id = any(g.node_ids) as exists,
       exists (select from runner.waits w where w.run_id = r.run_id and w.node_id = a.node_id) as waiting,
       (select count(*) from runner.inbox i
        where i.run_id = r.run_id and i.node_id = a.node_id and i.state = 'PENDING') as pending,
       (select w.priority from runner.waits w where w.run_id = r.run_id and w.node_id = a.node_id) as priority,
       runner.as_of() as as_of
from unnest($1::uuid[], $2::text[]) with ordinality as a (run_id, node_id, number)
join runner.runs r on r.run_id = a.run_id
join runner.graphs g on g.graph_hash = r.graph_hash;

-- name: read_known_events
select i.run_id, i.node_id, i.source, i.event_id
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as a (run_id, node_id, source, event_id)
join runner.inbox i using (run_id, node_id, source, event_id);

-- name: record_deliveries
-- The runs are locked by this transaction: their sequences come from the locked rows, and only the waking decides state.
with given as (
    select * from jsonb_to_recordset($1::jsonb) as g (
        run_id uuid, wake boolean, priority integer, lines jsonb, events jsonb)
),
moved as (
    update runner.runs r
    set last_seq = r.last_seq + jsonb_array_length(g.lines),
        last_inbox_seq = r.last_inbox_seq + jsonb_array_length(g.events),
        state = case when g.wake then 'QUEUED' else r.state end,
        ready_time = case when g.wake then runner.stamp() else r.ready_time end,
        priority = case when g.wake then g.priority else r.priority end,
        update_time = runner.stamp()
    from given g
    where r.run_id = g.run_id and (not g.wake or r.state = 'SUSPENDED')
    returning r.run_id, r.last_seq - jsonb_array_length(g.lines) as base_seq, r.epoch, g.lines, g.events
),
logged as (
    insert into runner.run_events (run_id, seq, event_type, node_id, payload, epoch)
    select m.run_id, m.base_seq + line.number, line.value ->> 't', line.value ->> 'n', nullif(line.value -> 'p', 'null'),
           m.epoch
    from moved m
    cross join lateral jsonb_array_elements(m.lines) with ordinality as line (value, number)
)
insert into runner.inbox (run_id, inbox_seq, node_id, source, event_id, event, priority, expire_time)
select m.run_id, e.inbox_seq, e.node_id, e.source, e.event_id, e.event, e.priority, e.expire_time
from moved m
cross join lateral jsonb_to_recordset(m.events) as e (
    inbox_seq bigint, node_id text, source text, event_id text, event jsonb, priority integer, expire_time timestamptz);

-- name: find_unfinished_runs
-- The runs a wake-up by workflow may mean; two are enough to know that it is ambiguous, more are for the message.
select run_id from runner.runs
where workflow_id = $1 and ($2::text is null or experiment_id = $2)
  and state in ('QUEUED', 'RUNNING', 'SUSPENDED')
order by run_id
limit 10;

-- name: choose_run
-- The first choice for an event's identity stands: a retry never wakes another run.
insert into runner.wake_choices (experiment_id, workflow_id, node_id, source, event_id, run_id)
values ($1, $2, $3, $4, $5, $6)
on conflict do nothing;

-- name: get_choice
select run_id from runner.wake_choices
where experiment_id = $1 and workflow_id = $2 and node_id = $3 and source = $4 and event_id = $5;
