-- name: notify
-- One statement, one commit, however many notices: Postgres lets only one transaction at a time commit notifications.
select pg_notify(n.channel, n.payload) from unnest($1::text[], $2::text[]) as n (channel, payload);
