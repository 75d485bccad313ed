-- name: settings
-- One statement for all of a transaction's settings. With an empty search path a migration that forgets to name its
-- schema fails at once, rather than building in another one.
select set_config('search_path', '', true),
       set_config('lock_timeout', $1, true),
       set_config('wakepoint.schema', $2, true);

-- name: lock
-- Held to the end of the transaction: of many replicas that start together one migrates, the others then find it done.
select pg_advisory_xact_lock(hashtextextended('wakepoint.migrations.' || $1::text, 0));

-- name: has_table
select to_regclass(format('%I.migrations', $1::text)) is not null;

-- name: create_table
-- 'create schema if not exists' wants the right to create one even when there is nothing to do; a role that owns only
-- the schema need not have it.
do $$
declare
    name text := current_setting('wakepoint.schema');
begin
    if to_regnamespace(quote_ident(name)) is null then
        execute format('create schema %I', name);
    end if;
    execute format(
        'create table if not exists %I.migrations ('
        'version integer primary key, '
        'name text not null, '
        'checksum text not null, '
        'applied_time timestamptz not null default clock_timestamp())',
        name
    );
end
$$;

-- name: enter_schema
-- The bookkeeping's own statements name the table without its schema.
select set_config('search_path', quote_ident($1::text), true);

-- name: leave_schema
select set_config('search_path', '', true);

-- name: applied
select version, name, checksum from migrations order by version;

-- name: record
insert into migrations (version, name, checksum) values ($1, $2, $3);
