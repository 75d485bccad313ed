-- name: lock_source
-- One import of a source at a time; released with the transaction.
select pg_advisory_xact_lock(hashtextextended('wakepoint legacy import: ' || $1::text, 0));

-- name: find_import
select i.workflow_id, i.row_hash, i.edition, w.edition as current_edition, w.delete_time is not null as is_deleted
from trigger.legacy_imports as i
left join trigger.workflows as w on w.workflow_id = i.workflow_id
where i.source = $1 and i.row_key = $2;

-- name: lock_imported
select from trigger.workflows where workflow_id = $1 for no key update;

-- name: remember_import
insert into trigger.legacy_imports as i (source, row_key, workflow_id, row_hash, edition, source_row)
select $1, $2, w.workflow_id, $4, w.edition, $5 from trigger.workflows as w where w.workflow_id = $3
on conflict (source, row_key) do update
set row_hash = excluded.row_hash, edition = excluded.edition, source_row = excluded.source_row,
    import_time = trigger.stamp();

-- name: update_imported
update trigger.workflows set name = $2, trigger_configs = $3 where workflow_id = $1;

-- name: imported_keys
select row_key from trigger.legacy_imports where source = $1;
