-- name: register_replica
insert into runner.replicas (replica_id, host, pid, lease_expire_time, node_types)
values ($1, $2, $3, runner.stamp() + $4::interval, $5::text[]);

-- name: prolong_lease
-- A replica that was declared dead does not come back under the same id: it gets no row, and has to stop.
update runner.replicas set lease_expire_time = runner.stamp() + $2::interval
where replica_id = $1 and not dead
returning replica_id;

-- name: give_up_lease
update runner.replicas set dead = true where replica_id = $1;

-- name: bury_replicas
update runner.replicas set dead = true
where not dead and lease_expire_time <= runner.as_of()
returning replica_id;

-- name: orphaned_runs
-- Runs that dead replicas still hold; which of them are really taken over is decided once they are locked.
select r.run_id
from runner.runs r
join runner.replicas p on p.replica_id = r.owner_id
where p.dead and r.state = 'RUNNING'
limit $1;

-- name: take_over
-- Busy says that the holder died while executing a node: only that counts against the run. $4, if given, is a living
-- holder that gives the runs up itself; $5 says whether that counts.
with orphaned as (
    select r.run_id, r.owner_id, case when $4::uuid is null then r.busy else $5 end as harmed from runner.runs r
    join runner.replicas p on p.replica_id = r.owner_id
    where r.run_id = any($1::uuid[]) and r.state = 'RUNNING' and (p.dead or p.replica_id = $4)
),
taken as (
    update runner.runs r
    set epoch = r.epoch + 1, owner_id = null, crashes = r.crashes + o.harmed::integer, busy = false,
        state = case when o.harmed and r.crashes + 1 >= $2 then 'FAILED' else 'QUEUED' end,
        error = case when o.harmed and r.crashes + 1 >= $2 then $3::jsonb end,
        ready_time = case when o.harmed and r.crashes + 1 >= $2 then null else runner.stamp() end,
        end_time = case when o.harmed and r.crashes + 1 >= $2 then runner.stamp() end,
        suspended_node_ids = case when o.harmed and r.crashes + 1 >= $2 then '{}' else r.suspended_node_ids end,
        last_seq = r.last_seq + 2, update_time = runner.stamp()
    from orphaned o
    where r.run_id = o.run_id and r.owner_id = o.owner_id and r.state = 'RUNNING'
    returning r.run_id, r.last_seq, r.epoch, r.state, o.owner_id as from_replica, r.source, r.attempt
),
told as (
    insert into runner.outbox (kind, payload)
    select 'RUN_STATE', jsonb_build_object('firing_id', source ->> 'firing_id', 'run_id', run_id, 'state', state,
                                           'attempt', attempt, 'error', $3::jsonb ->> 'message')
    from taken
    where state = 'FAILED' and source ->> 'firing_id' is not null
),
logged as (
    insert into runner.run_events (run_id, seq, event_type, payload, epoch)
    select run_id, last_seq - 1, 'LeaseTaken', jsonb_build_object('from_replica_id', from_replica), epoch from taken
    union all
    select run_id, last_seq, case when state = 'FAILED' then 'RunFailed' else 'RunQueued' end,
           case when state = 'FAILED' then jsonb_build_object('error', $3::jsonb)
                else jsonb_build_object('reason', 'its replica is gone') end, epoch
    from taken
),
unwaited as (
    delete from runner.waits w using taken t where w.run_id = t.run_id and t.state = 'FAILED'
),
dead as (
    update runner.inbox i
    set state = 'DEAD_LETTERED', reason = 'the run has failed', end_time = runner.stamp()
    from taken t
    where i.run_id = t.run_id and t.state = 'FAILED' and i.state = 'PENDING'
)
select run_id, state from taken;
