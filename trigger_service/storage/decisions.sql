-- name: admit
select trigger.admit($1);

-- name: decisions_of_events
select d.*, e.event_id from trigger.decisions as d
join trigger.job_events as e on e.event_key = d.event_key
where d.event_key = any ($1::uuid[])
order by d.event_key, d.workflow_id, d.replay;
