-- Which node types a graph needs and a replica has: a run is claimed by those that can execute it.

create function runner.types_in(graph jsonb) returns text[] language sql immutable parallel safe
as $$ select coalesce(array_agg(distinct node ->> 'type'), '{}') from jsonb_array_elements(graph -> 'nodes') as node $$;

-- Computed by the database, so that it is right whoever stores the graph.
alter table runner.graphs add column node_types text[] generated always as (runner.types_in(graph)) stored;

-- Null: a replica that does not say, of a version before this; it may claim everything.
alter table runner.replicas add column node_types text[];

-- Why a run is SUSPENDED although no node of it waits.
alter table runner.runs add column missing_types text[];
create index runs_missing_types on runner.runs (run_id) where state = 'SUSPENDED' and missing_types is not null;
