-- name: append_lines
-- Lines of somebody who has locked the runs without holding them: their numbers come from the locked rows.
with given as (
    select * from jsonb_to_recordset($1::jsonb) as g (run_id uuid, lines jsonb)
),
moved as (
    update runner.runs r
    set last_seq = r.last_seq + jsonb_array_length(g.lines), update_time = runner.stamp()
    from given g
    where r.run_id = g.run_id
    returning r.run_id, r.last_seq - jsonb_array_length(g.lines) as base_seq, r.epoch, g.lines
)
insert into runner.run_events (run_id, seq, event_type, node_id, activation, payload, epoch)
select m.run_id, m.base_seq + line.number, line.value ->> 't', line.value ->> 'n', line.value ->> 'a',
       nullif(line.value -> 'p', 'null'), m.epoch
from moved m
cross join lateral jsonb_array_elements(m.lines) with ordinality as line (value, number);
