#!/usr/bin/env python3
"""Who may include whom. The table is the architecture; this test keeps it true."""
import pathlib, re, sys

MAY_INCLUDE = {
    "search/base": {"search/base"},
    "search":      {"search/base", "search"},
    "trainer":     {"search/base", "search", "trainer"},
    "server":      {"search/base", "search", "server"},
    "clients":     {"search/base", "clients"},
}


def room(path):
    """The key of MAY_INCLUDE that a path like search/base/buf.h lives in."""
    return "search/base" if path.startswith("search/base/") else path.split("/")[0]


root, bad = pathlib.Path(sys.argv[1]), 0
for folder in ("search", "trainer", "server", "clients"):
    for path in sorted((root / folder).rglob("*.[ch]*")):
        here = path.relative_to(root).as_posix()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if found and room(found[1]) not in MAY_INCLUDE[room(here)]:
                bad += 1
                print(f"{here}:{number}: {room(here)} may not include {found[1]}")
sys.exit(bad > 0)
