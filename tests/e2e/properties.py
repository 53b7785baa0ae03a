#!/usr/bin/env python3
"""Requests that schemathesis makes of /v1/openapi.json, good and bad: no 5xx, and no reply that the document
does not describe. It is for tests only and in no Debian package:

    python3 -m venv venv && venv/bin/pip install schemathesis
    PATH=$PWD/venv/bin:$PATH tests/e2e/properties.py [EXAMPLES of each operation [SECONDS in all]]
"""
import json, shutil, subprocess, sys
from lathed import Lathed, SEARCH, make_dataset, skip_unless_possible

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def something_to_find(lathed):
    """One of most things, so that ids of the document's links and examples exist."""
    data = make_dataset(lathed)
    search = lathed.post("/v1/searches", {"name": "s", "dataset": data, **SEARCH})
    assert lathed.wait("/v1/searches/" + search["id"])["state"] == "succeeded"
    lathed.post("/v1/runs", {"architecture": "arch_2", "budget": {"tokens": 64}, "threads": 1})
    lathed.post("/v1/comparisons", {"architecture": "arch_2", "arms": ["reinit"], "budget": {"tokens": 64}, "threads": 1})
    lathed.post("/v1/tokens", {"name": "t"})


def main(examples, seconds):
    program = shutil.which("schemathesis")
    if not program:
        print("skipped: schemathesis is not here (see the head of this file)")
        return 77
    with Lathed() as lathed:
        something_to_find(lathed)
        lathed.stop()
        lathed.options += ["--role", "api"]  # what is asked for from here on is stored, not trained
        lathed.start()
        done = subprocess.run(
            [program, "run", f"http://{lathed.host}:{lathed.port}/v1/openapi.json", "--header", "Authorization: Bearer " + lathed.token,
             "--checks", CHECKS, "--max-examples", str(examples), "--seed", "1", "--exclude-operation-id", "watchEvents",
             "--request-timeout", "30", "--max-time", str(seconds), "--continue-on-failure", "--no-color"], check=False, cwd=lathed.dir)
        log = (lathed.dir / "log").read_text(errors="replace")
        assert " 500 " not in "".join(line for line in log.splitlines() if " http: " in line), "a 500 in the log"
        assert lathed.process.poll() is None, "lathed ended"
        assert done.returncode == 0, f"schemathesis ended with {done.returncode}"
    print("ok")
    return 0


if __name__ == "__main__":
    skip_unless_possible()
    more = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*more, *(3, 200)[len(more):]))
