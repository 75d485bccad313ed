-- name: add_to_outbox
-- In the order given, which is the order of their ids.
insert into runner.outbox (kind, payload)
select o.entry ->> 'kind', o.entry -> 'payload'
from jsonb_array_elements($1::jsonb) with ordinality as o (entry, place)
order by o.place;

-- name: lease_outbox
-- A lease by time: what is not deleted in $2 is tried again, by whichever replica comes first. Only the first of each
-- subject: the next one goes when that is gone, so that two replicas cannot overtake each other.
with due as materialized (
    select o.outbox_id from runner.outbox o
    where o.refuse_time is null and o.next_attempt_time <= runner.as_of()
      and not exists (
          select from runner.outbox e
          where e.subject = o.subject and e.outbox_id < o.outbox_id and e.refuse_time is null)
    order by o.next_attempt_time, o.outbox_id
    limit $1
    for no key update skip locked
)
update runner.outbox o
set next_attempt_time = runner.stamp() + $2::interval, attempts = o.attempts + 1
from due
where o.outbox_id = due.outbox_id
returning o.outbox_id, o.kind, o.payload, o.attempts, o.create_time;

-- name: delete_delivered
delete from runner.outbox where outbox_id = any($1::bigint[]);

-- name: postpone
-- Each by a time of its own.
update runner.outbox o
set next_attempt_time = runner.stamp() + make_interval(secs => p.seconds), last_error = p.error
from jsonb_to_recordset($1::jsonb) as p (outbox_id bigint, seconds double precision, error text)
where o.outbox_id = p.outbox_id;

-- name: refuse
-- Out of the way of what follows, and there for people to see.
update runner.outbox o set refuse_time = runner.stamp(), last_error = r.error
from jsonb_to_recordset($1::jsonb) as r (outbox_id bigint, error text)
where o.outbox_id = r.outbox_id;

-- name: forget_refused
delete from runner.outbox where refuse_time < runner.as_of() - $1::interval;
