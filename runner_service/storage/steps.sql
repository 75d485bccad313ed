-- name: commit_steps
-- One step of each of several runs. Everything is written from the rows that the fenced update returns, so that a holder
-- whose epoch is over writes nothing at all. A guarded step is refused when the inbox holds what its writer has not seen:
-- that is a column of the locked row, so a wake-up and a suspension cannot miss each other.
with given as (
    select * from jsonb_to_recordset($1::jsonb) as g (
        run_id uuid, epoch bigint, step bigint, guarded boolean, seen_inbox_seq bigint,
        state text, busy boolean, outputs jsonb, error jsonb, closed_nodes text[], suspended_node_ids text[],
        lines jsonb, waits jsonb, unwaited text[], settled jsonb, jobs jsonb, outbox jsonb)
),
fenced as (
    update runner.runs r
    set step = r.step + 1,
        state = g.state,
        busy = g.busy,
        owner_id = case when g.state = 'RUNNING' then r.owner_id end,
        ready_time = case when g.state = 'QUEUED' then runner.stamp() end,
        outputs = coalesce(g.outputs, r.outputs),
        error = coalesce(g.error, r.error),
        closed_nodes = g.closed_nodes,
        suspended_node_ids = g.suspended_node_ids,
        crashes = case when g.busy then r.crashes else 0 end,
        last_seq = r.last_seq + jsonb_array_length(g.lines),
        update_time = runner.stamp(),
        end_time = case when g.state in ('COMPLETED', 'FAILED') then runner.stamp() end
    from given g
    where r.run_id = g.run_id and r.state = 'RUNNING' and r.epoch = g.epoch and r.step = g.step
      and (not g.guarded or r.last_inbox_seq = g.seen_inbox_seq)
    returning r.run_id, r.last_seq - jsonb_array_length(g.lines) as base_seq, r.epoch, r.state, r.experiment_id,
              g.lines, g.waits, g.unwaited, g.settled, g.jobs, g.outbox
),
logged as (
    insert into runner.run_events (run_id, seq, event_type, node_id, activation, payload, epoch)
    select f.run_id, f.base_seq + line.number, line.value ->> 't', line.value ->> 'n', line.value ->> 'a',
           nullif(line.value -> 'p', 'null'), f.epoch
    from fenced f
    cross join lateral jsonb_array_elements(f.lines) with ordinality as line (value, number)
),
waiting as (
    insert into runner.waits (run_id, node_id, activation, node_type, reason, state, metadata, wake_time, priority,
                              suspend_time, expire_time, stale_time, stale_policy, failures)
    select f.run_id, w.node_id, w.activation, w.node_type, w.reason, w.state, w.metadata, w.wake_time, w.priority,
           case when w.suspended then runner.stamp() end,
           runner.stamp() + make_interval(secs => w.expires_after), runner.stamp() + make_interval(secs => w.stale_after),
           w.stale_policy, w.failures
    from fenced f
    cross join lateral jsonb_to_recordset(f.waits) as w (
        node_id text, activation text, node_type text, reason text, state jsonb, metadata jsonb,
        wake_time timestamptz, priority integer, suspended boolean, expires_after float8, stale_after float8,
        stale_policy text, failures integer)
    on conflict (run_id, node_id) do update
    set activation = excluded.activation, node_type = excluded.node_type, reason = excluded.reason,
        state = excluded.state, metadata = excluded.metadata, wake_time = excluded.wake_time,
        priority = excluded.priority, suspend_time = excluded.suspend_time,
        create_time = case when waits.activation = excluded.activation then waits.create_time else runner.stamp() end,
        -- A wait that goes from memory to the database is no new one: its times run on, changed ones as well.
        expire_time = case when waits.activation = excluded.activation then waits.expire_time
                           else excluded.expire_time end,
        stale_time = case when waits.activation = excluded.activation then waits.stale_time
                          else excluded.stale_time end,
        stale_policy = excluded.stale_policy, failures = excluded.failures,
        health = case when waits.activation = excluded.activation then waits.health else 'OK' end
),
unwaited as (
    delete from runner.waits w
    using fenced f
    where w.run_id = f.run_id
      and (w.node_id = any(f.unwaited) or f.state in ('COMPLETED', 'FAILED'))
),
settled as (
    update runner.inbox i
    set state = s.state, activation = s.activation, reason = s.reason, end_time = runner.stamp()
    from fenced f
    cross join lateral jsonb_to_recordset(f.settled) as s (inbox_seq bigint, state text, activation text, reason text)
    where i.run_id = f.run_id and i.inbox_seq = s.inbox_seq and i.state = 'PENDING'
),
submitted as (
    insert into runner.jobs (job_id, run_id, node_id, activation, experiment_id, job_type, job_name, backend, spec, state,
                             host)
    select j.job_id, f.run_id, j.node_id, j.activation, f.experiment_id, j.job_type, j.job_name, j.backend, j.spec,
           'SUBMITTED', j.host
    from fenced f
    cross join lateral jsonb_to_recordset(f.jobs) as j (
        job_id uuid, node_id text, activation text, job_type text, job_name text, backend text, spec jsonb, host text)
    on conflict (job_id) do nothing
),
told as (
    insert into runner.outbox (kind, payload)
    select o.kind, o.payload
    from fenced f
    cross join lateral jsonb_to_recordset(f.outbox) as o (kind text, payload jsonb)
)
select run_id from fenced;

-- name: read_fences
-- After a commit of unknown outcome, or a refusal: where the run really stands.
select run_id, state, epoch, step, last_inbox_seq from runner.runs where run_id = any($1::uuid[]);
