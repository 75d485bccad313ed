-- name: due_fan_out
-- The oldest first, so that each inbox gets its events in their order; as many as $2 bytes of events and always one.
with due as (
    select f.fan_out_id, f.run_id, p.event_bytes
    from runner.fan_out f
    join runner.publications p using (publication_id)
    where f.due_time <= runner.as_of()
    order by f.fan_out_id
    limit $1
),
measured as (
    select due.*, sum(event_bytes) over (order by fan_out_id) - event_bytes as bytes_before from due
)
select m.fan_out_id, m.run_id, r.run_id is null as run_is_gone
from measured m
left join runner.runs r using (run_id)
where m.bytes_before < $2
order by m.fan_out_id;

-- name: read_fan_out
-- Read again once the runs are locked: what another replica has delivered meanwhile is gone.
select f.fan_out_id, f.run_id, f.node_id, f.publication_id
from runner.fan_out f
where f.fan_out_id = any($1::bigint[])
order by f.fan_out_id;

-- name: read_publications
select publication_id, event, priority, expire_time
from runner.publications
where publication_id = any($1::bigint[]);

-- name: add_fan_out
insert into runner.fan_out (publication_id, run_id, node_id)
select f.publication_id, f.run_id, f.node_id
from unnest($1::bigint[], $2::uuid[], $3::text[]) with ordinality as f (publication_id, run_id, node_id, place)
order by f.place;

-- name: remove_fan_out
delete from runner.fan_out where fan_out_id = any($1::bigint[]);

-- name: postpone_fan_out
update runner.fan_out set due_time = runner.stamp() + $2::interval where fan_out_id = any($1::bigint[]);
