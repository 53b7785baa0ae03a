#!/usr/bin/env python3
"""What people send who mean harm is answered in words or dropped: requests that two programs read in two ways,
oversized and deep and malformed ones, paths that climb out of their folder in every parameter that the
OpenAPI document knows, guessed tokens. Nothing is answered with a 5xx, nothing is served that was smuggled,
and the service answers as before afterwards."""
import json, re, socket, urllib.parse
from lathed import Lathed, make_dataset, skip_unless_possible

CLIMBS = ["../../../../../../etc/passwd", "..%2f..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", "..%5c..%5cetc%5cpasswd",
          "/etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "....//....//etc/passwd", "%252e%252e%252fetc%252fpasswd",
          "..%c0%af..%c0%afetc/passwd", "arch_1/../../../../etc/passwd", "x%00", "~root", "token", "../token"]


class Raw:
    def __init__(self, lathed):
        self.lathed = lathed
        self.secret = lathed.token

    def send(self, data, seconds=3):
        """All that comes back until the other side closes or is silent."""
        data = data.replace("$T", self.lathed.token).encode("latin-1") if isinstance(data, str) else data
        with socket.create_connection((self.lathed.host, self.lathed.port), seconds) as s:
            s.settimeout(seconds)
            got = b""
            try:
                s.sendall(data)
            except OSError:
                pass  # it has heard enough; what it said about that is still to be read
            try:
                while more := s.recv(65536):
                    got += more
            except TimeoutError:
                got += b"<open>"
            except OSError:
                pass
            return got

    def statuses(self, data, **more):
        return [int(x) for x in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.send(data, **more))]


HEAD = "Host: localhost\r\nAuthorization: Bearer $T\r\nContent-Type: application/json\r\n"
HIDDEN = "GET /livez?smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def smuggling(raw):
    """One refusal, and the connection ends: what is hidden behind is never served."""
    for name, head in {
        "both lengths": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "both, the other way round": "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "two lengths": "Content-Length: 4\r\nContent-Length: 0\r\n", "the same length twice": "Content-Length: 0\r\nContent-Length: 0\r\n",
        "a list of lengths": "Content-Length: 0, 0\r\n", "a signed length": "Content-Length: +0\r\n", "a hexadecimal length": "Content-Length: 0x4\r\n",
        "a negative length": "Content-Length: -1\r\n", "a huge length": "Content-Length: 99999999999999999999\r\n",
        "two encodings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "a list of encodings": "Transfer-Encoding: identity, chunked\r\n",
        "an unknown encoding": "Transfer-Encoding: xchunked\r\n", "a vertical tab": "Transfer-Encoding: \x0bchunked\r\n", "a space before the colon": "Transfer-Encoding : chunked\r\n",
        "a name in quotes": '"Transfer-Encoding": chunked\r\n', "a folded encoding": "Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n",
        "a bare CR": "X: y\rTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "two hosts": "Host: other\r\nContent-Length: 0\r\n",
    }.items():
        got = raw.send(f"POST /v1/datasets HTTP/1.1\r\n{HEAD}{head}\r\n0\r\n\r\n{HIDDEN}")
        statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", got)
        assert set(statuses) <= {b"400", b"413"} and b"<open>" not in got, f"{name}: {got[:400]}"
    for name, data in {
        "a bad chunk size": "Transfer-Encoding: chunked\r\n\r\n2g\r\n{}\r\n0\r\n\r\n", "a signed chunk size": "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        "a prefixed chunk size": "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", "a huge chunk": "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "a NUL": "X: a\x00b\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "a chunk that is longer than said": "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    }.items():
        got = raw.send(f"POST /v1/datasets HTTP/1.1\r\n{HEAD}{data}{HIDDEN}")
        assert b" 200 " not in got and not re.search(rb"HTTP/1\.1 5", got), f"{name}: {got[:400]}"
    # lines that end with LF alone and folded lines are read one way only: as one request, or refused
    for name, data in {"bare LF": "GET /livez HTTP/1.1\nHost: localhost\nConnection: close\n\n",
                       "a folded line": "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\nConnection: close\r\n\r\n"}.items():
        assert raw.statuses(data) in ([200], [400], []), name


def oversized(raw, lathed):
    post = f"POST /v1/datasets HTTP/1.1\r\n{HEAD}Connection: close\r\n"
    deep = "[" * 100000
    for name, want, data in [
        ("headers", [431], "GET /livez HTTP/1.1\r\n" + "X: " + "a" * 100 + "\r\n" * 1 + "".join(f"X{i}: {'a' * 100}\r\n" for i in range(1000)) + "\r\n"),
        ("one header", [431], "GET /livez HTTP/1.1\r\nX: " + "a" * 100000 + "\r\n\r\n"),
        ("target", [414], "GET /" + "a" * 60000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("members of a query", [400], "GET /v1/searches?" + "&".join(f"a{i}=1" for i in range(100)) + f" HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n"),
        ("body", [413], post + "Content-Length: 2000000\r\n\r\n" + "x" * 2000000),
        ("chunked body", [413], post + "Transfer-Encoding: chunked\r\n\r\n" + ("10000\r\n" + "x" * 65536 + "\r\n") * 20 + "0\r\n\r\n"),
        ("depth", [400], post + f"Content-Length: {len(deep)}\r\n\r\n" + deep),
        ("depth of objects", [400], post + f"Content-Length: {6 * 10000}\r\n\r\n" + '{"a": ' * 10000),
        ("method", [400, 405, 431], "A" * 9000 + " /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    ]:
        got = raw.statuses(data, seconds=10)
        assert got and got[0] in want, f"{name}: {got}, wanted {want}"
    for body in [b'{"name": "\xff\xfe"}', b'{"name": "\xed\xa0\x80"}', b'{"name": 1e400}', b'{"name": "\\ud800"}', b'{"\\u0000": 1}', b"\xef\xbb\xbf{}", b"{}{}", b"NaN", b'{"name": 123456789012345678901234567890}']:
        reply = lathed.ask("POST", "/v1/datasets", raw=body, headers={"Content-Type": "application/json"})
        assert reply.status in (400, 422), (body, reply.status, reply.body)
    for path in ["/v1/searches/%ff", "/v1/searches?state=%ff", "/v1/searches/%ed%a0%80", "/v1/searches?page_token=%00", "/v1/searches/srch_%0a1", "/v1/searches?page_size=%31%"]:
        assert raw.statuses(f"GET {path} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n") == [400], path


def leaks(text, lathed):
    return b"root:" in text or lathed.token.encode() in text


def climbing(raw, lathed):
    """In every parameter of every path, every member of every query, every string of every example."""
    document, tried = lathed.get("/v1/openapi.json"), 0
    for path, item in document["paths"].items():
        names = re.findall(r"\{(\w+)\}", path)
        for method in [m for m in item if m in ("get", "post", "delete", "patch", "put")]:
            queries = [p["name"] for p in item[method].get("parameters", []) + item.get("parameters", []) if p.get("in") == "query"]
            targets = [path.replace("{" + n + "}", c) for n in names for c in CLIMBS]
            filled = re.sub(r"\{\w+\}", "srch_1", path)
            targets += [f"{filled}?{q}={c}" for q in queries for c in CLIMBS]
            for target in targets if "/events" not in path else []:
                target = re.sub(r"\{\w+\}", "srch_1", target)
                got = raw.send(f"{method.upper()} {target} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n")
                status = int((re.findall(rb"HTTP/1\.1 (\d{3}) ", got) or [b"0"])[0])
                assert status < 500 and not leaks(got, lathed), f"{method} {target}: {got[:300]}"
                tried += 1
    for climb in CLIMBS:
        for place in ("/", "/app/", "/assets/", "/v1/artifacts/", "/v1/uploads/"):
            got = raw.send(f"GET {place}{climb} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n")
            assert not leaks(got, lathed) and not re.match(rb"HTTP/1\.1 5", got), f"{place}{climb}: {got[:300]}"
            tried += 1
    return tried + climbing_bodies(document, lathed)


def strings(value, way=()):
    if isinstance(value, str):
        yield way
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from strings(part, (*way, key))


def climbing_bodies(document, lathed):
    tried = 0
    for path, item in document["paths"].items():
        media = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        examples = [media["example"]] if "example" in media else [e["value"] for e in media.get("examples", {}).values() if "value" in e]
        for example in examples:
            for way in strings(example):
                for climb in ("../../../../etc/passwd", "/etc/passwd", "a\u0000b"):
                    body = json.loads(json.dumps(example))
                    at = body
                    for step in way[:-1]:
                        at = at[step]
                    at[way[-1]] = climb
                    reply = lathed.ask("POST", re.sub(r"\{\w+\}", "srch_1", path) + ("?dry_run=true" if way[-1] == "name" else ""), body)
                    assert reply.status < 500 and b"root:" not in reply.body, (path, body, reply.status, reply.body)
                    tried += 1
    return tried


def guessing(lathed):
    """After a hundred wrong tokens guesses are told to wait; who has a token is served all the while."""
    statuses = [lathed.ask("GET", "/v1/searches", token="lathe_" + f"{i:043d}").status for i in range(300)]
    assert statuses[:50] == [401] * 50 and 429 in statuses and set(statuses) == {401, 429}, statuses
    assert lathed.ask("GET", "/v1/searches").status == 200
    return statuses.index(429)


def main():
    with Lathed("--role", "api") as lathed:
        raw = Raw(lathed)
        smuggling(raw)
        oversized(raw, lathed)
        tried = climbing(raw, lathed)
        first = guessing(lathed)
        assert lathed.ask("GET", "/readyz").status == 200
        print(f"{tried} climbing requests, none leaves its folder; guesses wait after {first}")
        assert not re.search(r"ERROR", lathed.tail(100000)), re.findall(r".*ERROR.*", lathed.tail(100000))[:5]
    print("ok")


if __name__ == "__main__":
    skip_unless_possible()
    main()
