-- name: add_to_outbox
insert into runner.outbox (kind, payload) select o.kind, o.payload
from jsonb_to_recordset($1::jsonb) as o (kind text, payload jsonb);

-- name: lease_outbox
-- A lease by time: what is not deleted in $2 is tried again, by whichever replica comes first.
with due as materialized (
    select outbox_id from runner.outbox
    where next_attempt_time <= runner.as_of()
    order by next_attempt_time, outbox_id
    limit $1
    for no key update skip locked
)
update runner.outbox o
set next_attempt_time = runner.stamp() + $2::interval, attempts = o.attempts + 1
from due
where o.outbox_id = due.outbox_id
returning o.outbox_id, o.kind, o.payload, o.attempts;

-- name: delete_delivered
delete from runner.outbox where outbox_id = any($1::bigint[]);

-- name: postpone
update runner.outbox set next_attempt_time = runner.stamp() + $2::interval, last_error = $3
where outbox_id = any($1::bigint[]);
