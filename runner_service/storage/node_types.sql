-- name: unrunnable_runs
-- Candidates among those that have waited longest: ready, and no living replica has all node types of their graphs.
with oldest as materialized (
    select run_id, graph_hash from runner.runs
    where state = 'QUEUED' and not behind
    order by ready_time
    limit $1
)
select o.run_id
from oldest o
join runner.graphs g using (graph_hash)
where exists (select from runner.replicas p where not p.dead)
  and not exists (
      select from runner.replicas p
      where not p.dead and (p.node_types is null or g.node_types <@ p.node_types));

-- name: suspend_unrunnable
-- Under the lock on the runs; a replica with the types may have come meanwhile.
with suspended as (
    update runner.runs r
    set state = 'SUSPENDED', ready_time = null, last_seq = r.last_seq + 1, update_time = runner.stamp(),
        missing_types = coalesce(nullif(array(
            select t from unnest(g.node_types) as t
            where not exists (select from runner.replicas p where not p.dead and t = any(p.node_types))
            order by t), '{}'), g.node_types)
    from runner.graphs g
    where r.run_id = any($1::uuid[]) and r.state = 'QUEUED' and not r.behind and g.graph_hash = r.graph_hash
      and not exists (
          select from runner.replicas p
          where not p.dead and (p.node_types is null or g.node_types <@ p.node_types))
    returning r.run_id, r.last_seq, r.epoch, r.missing_types, r.suspended_node_ids
)
insert into runner.run_events (run_id, seq, event_type, payload, epoch)
select run_id, last_seq, 'RunSuspended',
       jsonb_build_object('node_ids', suspended_node_ids, 'missing_node_types', missing_types,
                          'reason', 'no runner has the node types ' || array_to_string(missing_types, ', ')), epoch
from suspended
returning run_id;

-- name: runnable_again
-- Candidates: suspended for want of node types that somebody alive has now.
select r.run_id
from runner.runs r
join runner.graphs g using (graph_hash)
where r.state = 'SUSPENDED' and r.missing_types is not null
  and exists (
      select from runner.replicas p
      where not p.dead and (p.node_types is null or g.node_types <@ p.node_types))
limit $1;

-- name: queue_runnable
with queued as (
    update runner.runs
    set state = 'QUEUED', ready_time = runner.stamp(), missing_types = null, last_seq = last_seq + 1,
        update_time = runner.stamp()
    where run_id = any($1::uuid[]) and state = 'SUSPENDED' and missing_types is not null
    returning run_id, last_seq, epoch
)
insert into runner.run_events (run_id, seq, event_type, payload, epoch)
select run_id, last_seq, 'RunQueued', jsonb_build_object('reason', 'its node types are installed again'), epoch
from queued
returning run_id;
