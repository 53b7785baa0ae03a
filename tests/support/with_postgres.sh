#!/bin/sh
# with_postgres.sh COMMAND...  runs COMMAND beside a private PostgreSQL that nobody else can reach;
# LATHE_TEST_PG is its conninfo, with dbname= last. Exit 77 (skipped) when there is no PostgreSQL.
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -x "$bin/initdb" ] || { echo "skipped: no PostgreSQL server here"; exit 77; }
dir=$(mktemp -d /tmp/lathe-pg.XXXXXX)
as() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
    else "$@"; fi
}
if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$dir"; fi
stop() { as "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$dir"; }
trap stop EXIT INT TERM
cd "$dir"
as "$bin/initdb" -D "$dir/data" -A trust -U lathe -E UTF8 --locale=C.UTF-8 -N >/dev/null
as "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w \
    -o "-k $dir -c listen_addresses='' -c fsync=off" start >/dev/null
cd "$OLDPWD"
LATHE_TEST_PG="host=$dir user=lathe dbname=postgres" "$@"
