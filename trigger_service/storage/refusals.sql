-- name: lock_refusals
-- All of a batch in one order, so that two dispatchers cannot wait for each other in a circle.
select workflow_id from trigger.refusal_counts where workflow_id = any ($1::uuid[]) order by workflow_id
for no key update;

-- name: forget_refusals
delete from trigger.refusal_counts where workflow_id = any ($1::uuid[]);

-- name: count_refusals
insert into trigger.refusal_counts as c (workflow_id, in_a_row, last_error)
select t.workflow_id, t.refusals, t.error
from unnest($1::uuid[], $2::integer[], $3::text[]) as t (workflow_id, refusals, error)
order by t.workflow_id
on conflict (workflow_id) do update
set in_a_row = c.in_a_row + excluded.in_a_row, last_error = excluded.last_error
returning workflow_id, in_a_row;

-- name: refused_workflows
select workflow_id from trigger.refusal_counts where in_a_row >= $1 order by workflow_id limit $2;

-- name: last_refusal
select in_a_row, last_error from trigger.refusal_counts where workflow_id = $1;

-- name: disable_workflow
-- The caller holds the workflow's row.
update trigger.workflows set disabled_reason = $2 where workflow_id = $1 and disabled_reason is null
returning true;
