-- name: notify
-- Delivered at commit; any number of equal notifications in one transaction are one.
select pg_notify($1, $2);
