#!/bin/sh
# schema.sh  compares the tables of a migrated database with tests/sql/schema.out, which is what
# migrations add up to; --print prints it. A change of it shows in review as what it does.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
psql -X -q "$LATHE_TEST_PG" -c "create database schema_check"
here="${LATHE_TEST_PG%dbname=*}dbname=schema_check"
for file in "$root"/sql/[0-9]*.sql; do psql -X -q -v ON_ERROR_STOP=1 -1 -f "$file" "$here" >/dev/null; done
# Version, settings and pg_dump's random restrict token say nothing about us.
dump() { pg_dump --schema-only --no-owner -t 'public.*' "$here" | grep -Ev '^(--|SET |SELECT pg_catalog|\\(un)?restrict|$)'; }
if [ "${1:-}" = --print ]; then dump; exit; fi
dump | diff -u "$root/tests/sql/schema.out" - && echo "ok schema" ||
    { echo "if that is right: $0 --print > tests/sql/schema.out"; exit 1; }
