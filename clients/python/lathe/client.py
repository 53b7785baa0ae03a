"""The connection to a service."""
from __future__ import annotations

import http.client
import json
import os
import pathlib
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, IO, Optional, Union

from .errors import ApiError, Unreachable
from .files import read
from .resources import KINDS, Comparison, Evaluation, Export, Resource, Search

Path = Union[str, "os.PathLike[str]"]
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
SILENT_SECONDS = 45.0


@dataclass(frozen=True)
class Event:
    id: str
    name: str
    data: dict[str, Any]


def connect(server: Optional[str] = None, token: Optional[str] = None, data_dir: Optional[Path] = None) -> "Lathe":
    """Finds the service as the command line does: arguments, LATHE_SERVER and LATHE_TOKEN, then the
    files `address` and `token` in the data directory (LATHE_DATA_DIR or ~/.local/share/lathe)."""
    folder = pathlib.Path(data_dir or os.environ.get("LATHE_DATA_DIR") or
                          pathlib.Path.home() / ".local/share/lathe")

    def line(name: str) -> Optional[str]:
        try:
            return (folder / name).read_text(encoding="utf-8").strip() or None
        except OSError:
            return None

    address = line("address")
    server = (server or os.environ.get("LATHE_SERVER") or address or "http://127.0.0.1:7878").rstrip("/")
    token = token or os.environ.get("LATHE_TOKEN")
    host = urllib.parse.urlsplit(server).hostname
    if not token and (server == (address or "").rstrip("/") or host in ("127.0.0.1", "localhost", "::1")):
        token = line("token")  # the folder's token is for its service and this machine only
    return Lathe(server, token)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token stays with the host it is for."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Lathe:
    """One service. Every method is one request unless it says otherwise."""

    def __init__(self, server: str, token: Optional[str] = None, timeout: float = 60.0):
        self.server = server
        self.token = token
        self.timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirect)

    # ---- requests ------------------------------------------------------------------------

    def _open(self, method: str, path: str, query: Optional[dict[str, Any]] = None, body: Any = None,
              headers: Optional[dict[str, str]] = None, timeout: Optional[float] = None) -> http.client.HTTPResponse:
        query = {k: v for k, v in (query or {}).items() if v is not None}
        url = self.server + path + ("?" + urllib.parse.urlencode(query) if query else "")
        every = {"Accept": "application/json", "User-Agent": "lathe-python/0.1.0", **(headers or {})}
        if self.token:
            every["Authorization"] = f"Bearer {self.token}"
        if method == "POST":
            every.setdefault("Idempotency-Key", uuid.uuid4().hex)
        request = urllib.request.Request(url, data=body, headers=every, method=method)
        try:
            reply: http.client.HTTPResponse = self._opener.open(request, timeout=timeout or self.timeout)
            return reply
        except urllib.error.HTTPError as error:
            raise self._problem(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.server}: {error}") from error

    @staticmethod
    def _problem(error: urllib.error.HTTPError) -> ApiError:
        try:
            problem = json.loads(error.read())
        except (ValueError, OSError, http.client.HTTPException):
            problem = {}
        seconds = error.headers.get("Retry-After") or ""
        return ApiError(error.code, problem if isinstance(problem, dict) else {},
                        float(seconds) if re.fullmatch("[0-9]{1,9}", seconds) else None)

    def request(self, method: str, path: str, body: Any = None, query: Optional[dict[str, Any]] = None) -> Any:
        """One request with JSON in and out, for whatever has no method of its own."""
        data, headers = None, {}
        if method == "POST":
            data = json.dumps(body).encode() if body is not None else b""
            headers["Content-Type"] = "application/json"
        with self._open(method, path, query, data, headers) as reply:
            text = read(reply)
        return json.loads(text) if text else None

    def text(self, path: str) -> str:
        """One request for a reply that is text."""
        with self._open("GET", path, headers={"Accept": "*/*"}) as reply:
            return read(reply).decode("utf-8")

    def pages(self, path: str, page_size: int = 200, **filters: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page."""
        query: dict[str, Any] = {**filters, "page_size": page_size}
        while True:
            page = self.request("GET", path, query=query)
            yield from page["items"]
            if not page.get("next_page_token"):
                return
            query["page_token"] = page["next_page_token"]

    # ---- events --------------------------------------------------------------------------

    def events(self, resource: Optional[str] = None, after: Optional[str] = None) -> Iterator[Event]:
        """Events as they happen, for ever. Comes back after a lost connection and goes on after the
        last event seen, so nothing is lost and nothing comes twice."""
        return (event for event in self._told(resource, after) if event.name)

    def _told(self, resource: Optional[str], after: Optional[str]) -> Iterator[Event]:
        """The same with marks: an event without a name says that everything up to its id was told."""
        pause = FIRST_PAUSE
        while True:
            try:
                for event in self._stream(resource, after):
                    after, pause = event.id or after, FIRST_PAUSE
                    yield event
            except Unreachable:
                pass
            except ApiError as error:
                if error.status < 500 and not error.retryable:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _stream(self, resource: Optional[str], after: Optional[str]) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream"}
        if after is not None:
            headers["Last-Event-ID"] = after
        with self._open("GET", "/v1/events", {"resource": resource}, headers=headers,
                        timeout=SILENT_SECONDS) as reply:
            yield from read_events(reply)

    # ---- resources -----------------------------------------------------------------------

    def _wrap(self, collection: str, members: dict[str, Any]) -> Any:
        return KINDS.get(collection, Resource)(self, collection, members)

    def get(self, collection: str, id: str) -> Resource:
        """One of a collection: get("searches", "srch_3")."""
        found: Resource = self._wrap(collection, self.request("GET", f"/v1/{collection}/{urllib.parse.quote(id, '')}"))
        return found

    def list(self, collection: str, **filters: Any) -> Iterator[Resource]:
        """All of a collection that pass the filters, page after page."""
        for members in self.pages(f"/v1/{collection}", **filters):
            yield self._wrap(collection, members)

    def create(self, collection: str, body: dict[str, Any]) -> Any:
        return self._wrap(collection, self.request("POST", f"/v1/{collection}", body))

    def estimate(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        """What creating this would take; nothing is made."""
        found: dict[str, Any] = self.request("POST", f"/v1/{collection}", body, {"dry_run": "true"})
        return found

    def import_architecture(self, config: Optional[dict[str, Any]] = None, shape: Optional[dict[str, Any]] = None,
                            name: str = "shape") -> Resource:
        """A shape from elsewhere: the content of a config.json, or a shape document."""
        what = {"shape": shape} if shape else {"config": config}
        made: Resource = self.create("architectures", {"name": name, **what})
        return made

    def pareto(self, x: str, y: str, **filters: Any) -> "list[Resource]":
        """The architectures that no other one beats in both costs: two of params, flops_per_token,
        kv_bytes_per_token, validation_loss, latency_ms; filters as list("architectures") has them."""
        page = self.request("GET", "/v1/architectures", query={"pareto": f"{x},{y}", **filters})
        return [self._wrap("architectures", item) for item in page["items"]]

    def upload(self, path: Path) -> str:
        """Sends a file; its id."""
        with open(path, "rb") as file:
            return self._upload(file)

    def _upload(self, file: IO[bytes]) -> str:
        size = os.fstat(file.fileno()).st_size
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self._open("POST", "/v1/uploads", body=file, headers=headers) as reply:
            return str(json.loads(read(reply))["id"])

    def create_dataset(self, name: str, text: Any = (), jsonl: Any = (), tokenizer: Any = "bytes",
                       **more: Any) -> Resource:
        """From files: `text` are one document each, `jsonl` hold one {"text": ...} a line."""
        files = [{"upload": self.upload(path), "format": kind}
                 for kind, paths in (("text", text), ("jsonl", jsonl)) for path in paths]
        made: Resource = self.create("datasets", {"name": name, "files": files, "tokenizer": tokenizer, **more})
        return made

    def create_search(self, dataset: Union[str, Resource], shape: Optional[dict[str, Any]] = None,
                      train_tokens: Optional[int] = None, model: Optional[str] = None, **more: Any) -> Search:
        """A source (a shape to train, or a model) and what to do with it: space, criterion, update,
        schedule, stop, snapshots, recipe, seed, name."""
        id = dataset if isinstance(dataset, str) else dataset.id
        source: dict[str, Any] = {"model": model} if model else {"shape": dict(shape or {})}
        if shape and "vocab_size" not in shape:
            source["shape"]["vocab_size"] = self.get("datasets", id)["vocab_size"]
        if train_tokens is not None:
            source["train"] = {"tokens": train_tokens}
        made: Search = self.create("searches", {"dataset": id, "source": source, **more})
        return made

    def create_run(self, dataset: Union[str, Resource], tokens: int, architecture: Union[str, Resource, None] = None,
                   shape: Optional[dict[str, Any]] = None, init: str = "reinit", **more: Any) -> Resource:
        what: dict[str, Any] = {"shape": shape} if shape else {
            "architecture": architecture.id if isinstance(architecture, Resource) else architecture}
        made: Resource = self.create("runs", {
            "dataset": dataset if isinstance(dataset, str) else dataset.id, "budget": {"tokens": tokens},
            "init": init, **what, **more})
        return made

    def create_comparison(self, architecture: Union[str, Resource], tokens: int, seeds: Any = (1,),
                          **more: Any) -> Comparison:
        made: Comparison = self.create("comparisons", {
            "architecture": architecture if isinstance(architecture, str) else architecture.id,
            "seeds": [*seeds], "budget": {"tokens": tokens}, **more})
        return made

    def create_export(self, subject: Union[str, Resource], targets: Any = ("hf",), **more: Any) -> Export:
        """A run, an architecture's kept weights or a model, as "gguf", "gguf:q8_0" or
        {"format": "gguf", "dtype": "q8_0"}, each a target."""
        asked = [dict(zip(("format", "dtype"), t.split(":", 1))) if isinstance(t, str) else t for t in targets]
        made: Export = self.create("exports", {**_subject(subject), "targets": asked, **more})
        return made

    def create_evaluation(self, subject: Union[str, Resource], tasks: Any, **more: Any) -> Evaluation:
        """Tasks are {"name", "form", "file"} (a path, or several, which are uploaded) or with "upload";
        {"form": "latency"} measures how fast it is."""
        asked = []
        for task in tasks:
            task = dict(task)
            files = task.pop("file", None)
            if files is not None:
                paths = [files] if isinstance(files, (str, os.PathLike)) else files
                task["uploads"] = [self.upload(path) for path in paths]
            asked.append(task)
        made: Evaluation = self.create("evaluations", {**_subject(subject), "tasks": asked, **more})
        return made


def _subject(subject: Union[str, Resource]) -> dict[str, str]:
    id = subject.id if isinstance(subject, Resource) else subject
    for prefix, member in (("run_", "run"), ("arch_", "architecture"), ("mod_", "model")):
        if id.startswith(prefix):
            return {member: id}
    raise ValueError(f"{id} is neither a run, an architecture nor a model")


def read_events(lines: Any) -> Iterator[Event]:
    """Server-sent events from an iterable of lines (bytes). What is unfinished at the end is dropped.
    An id without data is an event without a name."""
    last_id, name, marked = "", "", False
    data: list[str] = []
    try:
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if not line:
                if data:
                    yield Event(last_id, name or "message", json.loads("\n".join(data)))
                elif marked:
                    yield Event(last_id, "", {})
                name, data, marked = "", [], False
            elif field == "id":
                last_id, marked = value, True
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"the stream broke: {error}") from error
