"""A service that answers like lathed and does nothing: for tests of the command line alone.

Handlers are looked up by "METHOD /path" (without the query) and return (status, document) or are
functions of the request that do. Events are served from a list; the connection is cut after every
`cut_after` of them, so that a client has to come back with Last-Event-ID. After the last one comes
its id alone. Without Last-Event-ID the first `past` of them are not told.
"""
import http.server
import json
import threading
import urllib.parse


class FakeLathed:
    def __init__(self, token="secret"):
        self.token, self.replies, self.requests = token, {}, []
        self.events, self.past, self.cut_after, self.connections = [], 0, 2, []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                fake.answer(self)

            do_POST = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,),
                         daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = {"method": handler.command, "path": parts.path, "headers": handler.headers,
                   "query": dict(urllib.parse.parse_qsl(parts.query)), "body": body}
        self.requests.append(request)
        if handler.headers.get("Authorization") != f"Bearer {self.token}":
            return self.send(handler, 401, self.problem(401, "unauthorized", "the token is not known"))
        if parts.path == "/v1/events":
            return self.stream(handler)
        reply = self.replies.get(f"{handler.command} {parts.path}")
        if callable(reply):
            reply = reply(request)
        if reply is None:
            reply = 404, self.problem(404, "missing", f"there is no {parts.path}")
        return self.send(handler, *reply)

    @staticmethod
    def problem(status, code, detail, errors=()):
        return {"type": "about:blank", "title": code, "status": status, "code": code,
                "detail": detail, "request_id": "req-1", "errors": list(errors)}

    @staticmethod
    def send(handler, status, document, length=None):
        """`length` is what is promised; the connection is closed when it is not kept."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        kind = "application/json" if status < 400 else "application/problem+json"
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(length or len(body)))
        handler.close_connection = length is not None
        handler.end_headers()
        handler.wfile.write(body)

    def stream(self, handler):
        after = int(handler.headers.get("Last-Event-ID") or self.past)
        self.connections.append(after)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b": welcome\nretry: 10\n\n")
        waiting = [e for e in enumerate(self.events, 1) if e[0] > after][:self.cut_after]
        for number, (name, data) in waiting:
            handler.wfile.write(f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())
        if after + len(waiting) == len(self.events):
            handler.wfile.write(f"id: {len(self.events)}\n\n".encode())
        handler.close_connection = True
