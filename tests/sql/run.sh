#!/bin/sh
# run.sh TEST.sql...  For each: migrates an empty database, runs the test, compares with TEST.out.
# run.sh --print TEST.sql  prints what TEST.out should hold if the new output is right.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
print=
if [ "$1" = --print ]; then print=yes; shift; fi
sql() { PGOPTIONS="-c timezone=UTC -c client_min_messages=warning" command psql -X -q "$@"; }

transcript() {
    db=t_$$_$(basename "$1" .sql)
    sql "$LATHE_TEST_PG" -c "create database $db"
    here="${LATHE_TEST_PG%dbname=*}dbname=$db"
    for file in "$root"/sql/[0-9]*.sql; do sql "$here" -v ON_ERROR_STOP=1 -1 -f "$file" >/dev/null; done
    sql "$here" -a -v VERBOSITY=terse -f "$1" 2>&1 | sed "s,^psql:$1:[0-9]*: ,,"
}

bad=0
for test; do
    if [ "$print" ]; then transcript "$test"; continue; fi
    if transcript "$test" | diff -u "${test%.sql}.out" -; then echo "ok $(basename "$test")"
    else bad=1; echo "if that is right: $0 --print $test > ${test%.sql}.out"; fi
done
exit $bad
