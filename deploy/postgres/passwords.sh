#!/bin/sh
# Gives the roles of roles.sql their passwords, from the environment. The Postgres image runs it once, on an empty volume.
set -eu

give() {
    # Through psql's variables, which quote; a heredoc, because they are not replaced in -c.
    psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -v role="$1" -v password="$2" \
        --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
alter role :"role" password :'password';
SQL
}

give trigger_owner "$TRIGGER_OWNER_PASSWORD"
give trigger_serving "$TRIGGER_SERVING_PASSWORD"
give runner_owner "$RUNNER_OWNER_PASSWORD"
give runner_serving "$RUNNER_SERVING_PASSWORD"
