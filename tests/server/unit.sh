#!/bin/sh
# unit.sh BUILD  what is installed from there holds together: systemd reads the unit without complaint, which includes
# that the program it starts is there, and finds it shut in enough. Exit 77 (skipped) without systemd-analyze.
set -eu
command -v systemd-analyze >/dev/null || { echo "skipped: no systemd-analyze here"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cmake --install "$1" --prefix "$dir" >/dev/null
unit=$dir/lib/systemd/system/lathed.service
grep -q "^ExecStart=$dir/bin/lathed\$" "$unit"
complaints=$(systemd-analyze verify --man=no "$unit" 2>&1) || { echo "$complaints"; exit 1; }
[ -z "$complaints" ] || { echo "$complaints"; exit 1; }
systemd-analyze security --offline=true --threshold=35 "$unit" | tail -1
