-- name: lock_keys
-- Sorted, as everybody locks them, and before any run. Answers the last of the $4 turns that each key has given out.
insert into runner.concurrency_keys as k (experiment_id, workflow_id, concurrency_key, last_turn)
select g.experiment_id, g.workflow_id, g.concurrency_key, g.turns
from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    as g (experiment_id, workflow_id, concurrency_key, turns)
order by 1, 2, 3
on conflict (experiment_id, workflow_id, concurrency_key) do update
set last_turn = k.last_turn + excluded.last_turn, update_time = runner.stamp()
returning experiment_id, workflow_id, concurrency_key, last_turn;

-- name: unfinished_of_keys
-- A statement of its own: it sees what the locks waited for.
select r.run_id, r.experiment_id, r.workflow_id, r.concurrency_key
from unnest($1::text[], $2::text[], $3::text[]) as g (experiment_id, workflow_id, concurrency_key)
join runner.runs r using (experiment_id, workflow_id, concurrency_key)
where r.state in ('QUEUED', 'RUNNING', 'SUSPENDED')
order by r.turn;

-- name: mark_skipped
update runner.start_requests s set skipped = true
from unnest($1::text[], $2::text[]) as g (experiment_id, request_id)
where s.experiment_id = g.experiment_id and s.request_id = g.request_id;

-- name: next_in_turn
-- Candidates: of each key the first that stands in line, if nobody is before it.
select first.run_id
from (
    select distinct on (experiment_id, workflow_id, concurrency_key)
           run_id, experiment_id, workflow_id, concurrency_key, turn
    from runner.runs
    where behind and state = 'QUEUED'
    order by experiment_id, workflow_id, concurrency_key, turn
) as first
where not exists (
    select from runner.runs p
    where p.experiment_id = first.experiment_id and p.workflow_id = first.workflow_id
      and p.concurrency_key = first.concurrency_key and p.turn < first.turn
      and p.state in ('QUEUED', 'RUNNING', 'SUSPENDED'))
limit $1;

-- name: let_in
-- Under the lock on the runs. Who comes after them cannot come before them any more: turns are given out in order.
with turned as (
    update runner.runs
    set behind = false, ready_time = runner.stamp(), last_seq = last_seq + 1, update_time = runner.stamp()
    where run_id = any($1::uuid[]) and behind and state = 'QUEUED'
    returning run_id, last_seq, epoch
)
insert into runner.run_events (run_id, seq, event_type, payload, epoch)
select run_id, last_seq, 'RunQueued', jsonb_build_object('reason', 'its turn has come'), epoch from turned
returning run_id;

-- name: forget_keys
-- Rows that nobody needs any more, a few at a time.
delete from runner.concurrency_keys
where (experiment_id, workflow_id, concurrency_key) in (
    select k.experiment_id, k.workflow_id, k.concurrency_key
    from runner.concurrency_keys k
    where k.update_time < runner.as_of() - interval '1 day'
      and not exists (
          select from runner.runs r
          where r.experiment_id = k.experiment_id and r.workflow_id = k.workflow_id
            and r.concurrency_key = k.concurrency_key and r.state in ('QUEUED', 'RUNNING', 'SUSPENDED'))
    limit $1
    for update skip locked);

-- name: overdue_runs
-- Candidates: unfinished runs whose deadline has passed.
select run_id from runner.runs
where deadline <= runner.as_of() and state in ('QUEUED', 'RUNNING', 'SUSPENDED')
order by deadline
limit $1;

-- name: fail_overdue
-- As cancel_run, for runs that are locked: the new epoch makes every later write of a holder fail.
with failed as (
    update runner.runs
    set state = 'FAILED', error = jsonb_build_object('type', 'DeadlineExceeded', 'message', $2::text),
        epoch = epoch + 1, owner_id = null, busy = false, behind = false, ready_time = null,
        suspended_node_ids = '{}', last_seq = last_seq + 1, end_time = runner.stamp(), update_time = runner.stamp()
    where run_id = any($1::uuid[]) and state in ('QUEUED', 'RUNNING', 'SUSPENDED') and deadline <= runner.as_of()
    returning run_id, last_seq, epoch, source, attempt, error
),
told as (
    insert into runner.outbox (kind, payload)
    select 'RUN_STATE', jsonb_build_object('firing_id', source ->> 'firing_id', 'run_id', run_id, 'state', 'FAILED',
                                           'attempt', attempt, 'error', $2::text)
    from failed
    where source ->> 'firing_id' is not null
),
logged as (
    insert into runner.run_events (run_id, seq, event_type, payload, epoch)
    select run_id, last_seq, 'RunFailed', jsonb_build_object('error', error), epoch from failed
),
unwaited as (
    delete from runner.waits w using failed f where w.run_id = f.run_id
),
stopped as (
    update runner.jobs j set state = 'STOPPING' from failed f
    where j.run_id = f.run_id and j.state in ('SUBMITTED', 'RUNNING')
),
dead as (
    update runner.inbox i
    set state = 'DEAD_LETTERED', reason = 'the run has failed', end_time = runner.stamp()
    from failed f
    where i.run_id = f.run_id and i.state = 'PENDING'
)
select run_id from failed;
