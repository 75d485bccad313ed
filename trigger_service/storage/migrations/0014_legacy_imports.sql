-- What was imported from another system, so that importing again changes only what changed there, and nothing that was
-- edited here. fillfactor 90: a row is updated when its source was.
create table trigger.legacy_imports (
    source text not null,
    row_key text not null,
    workflow_id uuid not null,
    -- What was made of the row, and the workflow's edition then: a later edition was edited here.
    row_hash bytea not null,
    edition bigint not null,
    -- The row as it stood there, for whoever translates its steps.
    source_row jsonb not null,
    import_time timestamptz not null default trigger.stamp(),
    primary key (source, row_key)
) with (fillfactor = 90);
