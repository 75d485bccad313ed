-- The types of the jobs that a graph's RunJob nodes run, where they are known before the run. Foreign SQL may have stored
-- anything as a graph: what has not this form causes nothing.
create function trigger.jobs_of_graph(graph jsonb) returns text[] language sql immutable parallel safe
as $$
    select coalesce(array_agg(distinct job_type #>> '{}' order by job_type #>> '{}'), '{}')
    from jsonb_path_query(graph, 'lax $.nodes[*] ? (@.type == "RunJob").properties.job_type') as job_type
    where jsonb_typeof(job_type) = 'string' and position('${' in job_type #>> '{}') = 0
$$;
