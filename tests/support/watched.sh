#!/bin/sh
# watched.sh FOLDER COMMAND...  runs COMMAND built with sanitizers. What they report, of it or of any
# process below it, goes to FOLDER, is printed at the end, and makes the whole fail.
set -u
folder=$1
shift
rm -rf "$folder"
mkdir -p "$folder"
to=log_path=$folder/report:log_exe_name=1
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:$to" UBSAN_OPTIONS="${UBSAN_OPTIONS:-}:print_stacktrace=1:$to"
export TSAN_OPTIONS="${TSAN_OPTIONS:-}:halt_on_error=1:ignore_noninstrumented_modules=1:$to"
"$@"
status=$?
rmdir "$folder" 2>/dev/null && exit "$status" # nothing was said
cat "$folder"/*
exit 1
