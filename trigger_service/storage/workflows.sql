-- name: insert_graph
-- The same graph may be inserted by two at once; whoever comes second waits and inserts nothing.
insert into trigger.graphs (graph_hash, graph) values ($1, $2) on conflict (graph_hash) do nothing;

-- name: insert_workflow
insert into trigger.workflows (workflow_id, experiment_id, name, graph_hash, trigger_configs)
values ($1, $2, $3, $4, $5);

-- name: get_workflow
select * from trigger.live_workflows where workflow_id = $1 and ($2 = '' or experiment_id = $2);

-- name: list_workflows
-- A walk shows what was there when it began: as_of is null on its first page.
select w.*, coalesce($5, trigger.as_of()) as as_of
from trigger.live_workflows as w
where ($1 = '' or w.experiment_id = $1)
  and ($2 = '' or exists (
      select from trigger.trigger_index as i where i.workflow_id = w.workflow_id and i.trigger_type = $2))
  and ($3::uuid is null or w.workflow_id > $3)
  and ($5::timestamptz is null or w.create_time <= $5)
order by w.workflow_id
limit $4;

-- name: lock_workflow
-- A statement of its own: what is decided next must see what the lock waited for.
select edition, version, graph_hash, experiment_id from trigger.workflows
where workflow_id = $1 and ($2 = '' or experiment_id = $2) and delete_time is null
for no key update;

-- name: update_configs
-- Enabling a trigger says that somebody has looked at why the service turned them off.
update trigger.workflows
set trigger_configs = $2, disabled_reason = case when $3 then null else disabled_reason end
where workflow_id = $1;

-- name: update_workflow
-- Null leaves a column as it is; concurrency may be taken away, and has a switch of its own.
update trigger.workflows
set name = coalesce($2, name), graph_hash = coalesce($3, graph_hash), trigger_configs = coalesce($4, trigger_configs),
    concurrency = case when $5 then $6 else concurrency end, adopt_newest = coalesce($7, adopt_newest),
    disabled_reason = case when $8 then null else disabled_reason end
where workflow_id = $1;

-- name: lock_workflows
-- In one order, so that two switches cannot wait for each other in a circle. No ids: all of the experiment.
select workflow_id from trigger.workflows
where experiment_id = $1 and delete_time is null and ($2::uuid[] is null or workflow_id = any ($2::uuid[]))
order by workflow_id
limit $3
for no key update;

-- name: switch_trigger
-- One statement for all, so that each experiment is told once. The stored value keeps what it is besides: a config with a
-- damaged option stays off, because it still reads as such, and does not come on without its option.
update trigger.workflows as w
set trigger_configs = case
        when found.place is null then found.stored || jsonb_build_array(
            jsonb_build_object('trigger_type', $2::text, 'is_enabled', $3::boolean))
        else jsonb_set(found.stored, array[found.place::text, 'is_enabled'], to_jsonb($3::boolean)) end,
    disabled_reason = case when $3 then null else disabled_reason end
from (
    select s.workflow_id, s.stored, (
        select item.place - 1
        from jsonb_array_elements(s.stored) with ordinality as item (config, place)
        where jsonb_typeof(item.config) = 'object' and item.config -> 'trigger_type' = to_jsonb($2::text)
        order by item.place
        limit 1) as place
    from (
        select workflow_id, case when jsonb_typeof(trigger_configs) = 'array' then trigger_configs else '[]' end as stored
        from trigger.workflows
        where workflow_id = any ($1::uuid[])) as s
) as found
where w.workflow_id = found.workflow_id;

-- name: get_workflows
select * from trigger.live_workflows where workflow_id = any ($1::uuid[]) order by workflow_id;

-- name: delete_workflow
update trigger.workflows set delete_time = trigger.stamp() where workflow_id = $1;

-- name: offer_blueprints
select trigger.offer_blueprints($1);

-- name: find_request
select body_hash, result_id from trigger.requests where experiment_id = $1 and method = $2 and request_id = $3;

-- name: claim_request
-- Waits for a concurrent holder of the same key; false when there is, or was, one.
insert into trigger.requests (experiment_id, method, request_id, body_hash, result_id)
values ($1, $2, $3, $4, $5)
on conflict (experiment_id, method, request_id) do nothing
returning true;
