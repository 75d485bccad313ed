-- The role for legacy systems that write their jobs into trigger.jobs, where the migrations could not make it: their owner
-- may not create roles, and the database was set up before roles.sql had this one. Run as a superuser, after migrating;
-- repeating it does no harm.

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'jobs_writer') then
        create role jobs_writer nologin;
    end if;
    execute format('grant connect on database %I to jobs_writer', current_database());
end
$$;

grant usage on schema trigger to jobs_writer;
grant select (experiment_id, job_id, attempt, job_type, job_name, status, attributes, update_time),
      insert (experiment_id, job_id, attempt, job_type, job_name, status, attributes, update_time),
      update (job_type, job_name, status, attributes, update_time)
on trigger.jobs to jobs_writer;
