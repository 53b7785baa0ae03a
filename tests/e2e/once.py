#!/usr/bin/env python3
"""A POST with an Idempotency-Key makes one thing, wherever lathed is killed between its commit and its reply."""
import random, subprocess, threading, time
from lathed import Lathed, skip_unless_possible

BODY = {"name": "once", "shape": {"hidden_size": 8, "head_dim": 4, "vocab_size": 9, "layers": [{"q_heads": 2, "ffn": 8}]}}


def named(lathed, name):
    return [a for a in lathed.pages("/v1/architectures?page_size=500") if a["name"] == name]


def lost_reply(lathed):
    """What such a crash leaves behind: something was made, and no reply is stored."""
    key = {"Idempotency-Key": "lost"}
    made = lathed.ask("POST", "/v1/architectures", BODY, headers=key)
    assert made.status == 201, made.body
    subprocess.run(["psql", "-qX", "-h", lathed.dir / "pg" / "run", "-U", "lathe", "postgres", "-c",
                    "update idempotency_key set status = null, body = null, location = null where key = 'lost'"], check=True)
    again = lathed.ask("POST", "/v1/architectures", BODY, headers=key)
    assert again.status == 201 and again.json["id"] == made.json["id"], again.body
    assert again.headers["Location"] == made.headers["Location"] and again.headers["Idempotency-Replayed"] == "true"
    other = lathed.ask("POST", "/v1/architectures", {**BODY, "name": "other"}, headers=key)
    assert other.status == 422 and other.json["code"] == "idempotency", other.body
    assert len(named(lathed, "once")) == 1


def killed(lathed, rounds, rng):
    """At random, many times: the same request again, after the restart, is the same thing."""
    for n in range(rounds):
        body, key = {**BODY, "name": f"k{n}"}, {"Idempotency-Key": f"k{n}"}

        def send():
            try:
                lathed.ask("POST", "/v1/architectures", body, headers=key)
            except OSError:
                pass
        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(rng.random() * 0.012)
        lathed.kill()
        sender.join()
        lathed.start()
        reply = lathed.ask("POST", "/v1/architectures", body, headers=key)
        assert reply.status == 201 and [a["id"] for a in named(lathed, f"k{n}")] == [reply.json["id"]], reply.body


if __name__ == "__main__":
    skip_unless_possible()
    with Lathed() as lathed:
        lost_reply(lathed)
        killed(lathed, 8, random.Random(5))
    print("ok")
