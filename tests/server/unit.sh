#!/bin/sh
# unit.sh UNIT LATHED  systemd reads our unit without complaint (with the program where it is now), and finds it
# shut in enough. Exit 77 (skipped) without systemd-analyze.
set -eu
command -v systemd-analyze >/dev/null || { echo "skipped: no systemd-analyze here"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
sed "s,^ExecStart=.*,ExecStart=$2," "$1" > "$dir/lathed.service"
complaints=$(systemd-analyze verify --man=no "$dir/lathed.service" 2>&1) || { echo "$complaints"; exit 1; }
[ -z "$complaints" ] || { echo "$complaints"; exit 1; }
systemd-analyze security --offline=true --threshold=35 "$dir/lathed.service" | tail -1
