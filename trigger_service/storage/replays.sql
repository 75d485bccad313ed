-- name: lock_experiment
-- Replays of one experiment follow each other, so that two never give a firing the same number.
select from trigger.experiments where experiment_id = $1 for no key update;

-- name: earlier_matches
-- What these events fired before, by whichever replay, and what they were decided to be.
select m.event_key, m.workflow_id, max(m.replay) as replay, bool_or(m.has_fired) as has_fired
from (
    select f.event_key, f.workflow_id, f.replay, true as has_fired
    from trigger.firings as f where f.event_key = any ($1::uuid[])
    union all
    -- An event that was folded into another's firing has had its share.
    select d.event_key, d.workflow_id, d.replay, d.verdict = 'DEBOUNCED'
    from trigger.decisions as d where d.event_key = any ($1::uuid[])
) as m
group by m.event_key, m.workflow_id;

-- name: insert_replayed
insert into trigger.firings (
    firing_id, event_key, workflow_id, replay, experiment_id, event_id, trigger_type, workflow_version, graph_hash, depth,
    state, held_by, next_attempt_time)
select f.firing_id, f.event_key, f.workflow_id, f.replay, f.experiment_id, f.event_id, f.trigger_type, f.workflow_version,
       decode(f.graph_hash, 'hex'), f.depth, f.state, f.held_by, trigger.stamp() + coalesce(f.delay, interval '0')
from jsonb_to_recordset($1) as f (
    firing_id uuid, event_key uuid, workflow_id uuid, replay integer, experiment_id text, event_id text, trigger_type text,
    workflow_version bigint, graph_hash text, depth integer, state text, held_by text, delay interval)
order by f.firing_id;

-- name: insert_decisions
insert into trigger.decisions (event_key, workflow_id, replay, experiment_id, verdict, detail, config, firing_id)
select d.event_key, d.workflow_id, d.replay, d.experiment_id, d.verdict, d.detail, d.config, d.firing_id
from jsonb_to_recordset($1) as d (
    event_key uuid, workflow_id uuid, replay integer, experiment_id text, verdict text, detail text, config jsonb,
    firing_id uuid)
order by d.event_key, d.workflow_id;

-- name: mark_replayed
-- Of the firings that a replay meant to make those that are there: a limit may have refused some.
update trigger.firings as f
set replay_id = $1
from (select firing_id from trigger.firings where firing_id = any ($2::uuid[]) order by firing_id for no key update) as made
where f.firing_id = made.firing_id;

-- name: firings_of_replay
select * from trigger.firings where replay_id = $1 order by firing_id;
