-- name: jobs_of
select w.workflow_id, w.experiment_id, w.name, trigger.jobs_of_graph(g.graph) as causes
from trigger.workflows as w
join trigger.graphs as g on g.graph_hash = w.graph_hash
where w.workflow_id = $1 and w.delete_time is null;

-- name: started_by
-- Which workflows a job of these types in these experiments can start, and which jobs those start in their turn. The number
-- of workflows that are looked at is bounded before their graphs are read.
with caused as (
    select distinct c.experiment_id, c.job_type
    from unnest($1::text[], $2::text[]) as c (experiment_id, job_type)
),
started as materialized (
    select c.experiment_id as source_id, c.job_type, i.workflow_id
    from caused as c
    join trigger.trigger_index as i on i.experiment_id = c.experiment_id and i.trigger_type = c.job_type
    order by i.experiment_id, i.trigger_type, i.workflow_id
    limit $3
)
select s.source_id, s.job_type, w.workflow_id, w.experiment_id, w.name, trigger.jobs_of_graph(g.graph) as causes
from started as s
join trigger.workflows as w on w.workflow_id = s.workflow_id
join trigger.graphs as g on g.graph_hash = w.graph_hash
order by s.source_id, s.job_type, s.workflow_id;
