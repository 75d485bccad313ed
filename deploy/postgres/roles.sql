-- The roles and schemas of both services: for each an owner, who migrates, and a role that serves and may not change
-- tables. Run once, as a superuser, in the database that the services are to use. The roles have no passwords yet.

create role trigger_owner login;
create role trigger_serving login;
create role runner_owner login;
create role runner_serving login;
-- For legacy systems that write their jobs into trigger.jobs, and may do nothing else: the migrations of trigger_service
-- give it its rights. It can log in once you want it to: alter role jobs_writer login password '...'.
create role jobs_writer nologin;

do $$
begin
    execute format('revoke all on database %I from public', current_database());
    execute format(
        'grant connect on database %I to trigger_owner, trigger_serving, runner_owner, runner_serving, jobs_writer',
        current_database()
    );
end
$$;

create schema trigger authorization trigger_owner;
create schema runner authorization runner_owner;
grant usage on schema trigger to trigger_serving;
grant usage on schema runner to runner_serving;

-- Also for what later migrations bring. Functions need no grant: everybody who may use the schema may call them.
alter default privileges for role trigger_owner in schema trigger
    grant select, insert, update, delete on tables to trigger_serving;
alter default privileges for role runner_owner in schema runner
    grant select, insert, update, delete on tables to runner_serving;
