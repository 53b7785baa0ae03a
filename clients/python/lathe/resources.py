"""What the service holds: a Resource is its JSON, with what can be done to it."""
from __future__ import annotations

import html
import json
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional

from .errors import ApiError, LatheError, NotFinished, Unreachable
from .files import download, plain_name

if TYPE_CHECKING:
    from .client import Event, Lathe, Path

OVER = frozenset({"succeeded", "failed", "cancelled"})
POLL_SECONDS, LONGEST_PAUSE = 1.0, 10.0
SILENT_SECONDS = 300.0


class Resource(dict[str, Any]):
    """The members as the service sent them (`run["loss"]`); refresh() fetches them again."""

    def __init__(self, service: "Lathe", collection: str, members: dict[str, Any]):
        super().__init__(members)
        self.service = service
        self.collection = collection

    @property
    def id(self) -> str:
        return str(self["id"])

    @property
    def path(self) -> str:
        return f"/v1/{self.collection}/{self.id}"

    @property
    def is_over(self) -> bool:
        return self.get("state") in OVER

    def __repr__(self) -> str:
        name = f" {self['name']}" if self.get("name") else ""
        state = f" {self['state']}" if self.get("state") else ""
        return f"<{self.id}{name}{state}>"

    def refresh(self) -> "Resource":
        fresh = self.service.request("GET", self.path)
        self.clear()
        self.update(fresh)
        return self

    def wait(self, timeout: Optional[float] = None, raise_on_failure: bool = True) -> "Resource":
        """Stays until it is over. The service may restart meanwhile.

        Raises NotFinished after `timeout` seconds, LatheError when it failed or was cancelled
        (unless told not to), Unreachable or ApiError when there was no answer for five minutes.
        """
        end = None if timeout is None else time.monotonic() + timeout
        heard, pause = time.monotonic(), POLL_SECONDS
        while not self.is_over:
            if end is not None and time.monotonic() >= end:
                raise NotFinished(f"{self!r} is not over after {timeout} s")
            time.sleep(pause if end is None else min(pause, max(0.0, end - time.monotonic())))
            try:
                self.refresh()
                heard, pause = time.monotonic(), POLL_SECONDS
            except (Unreachable, ApiError) as error:
                pause = pause_after(error, heard)
        if raise_on_failure and self["state"] != "succeeded":
            raise LatheError(f"{self!r}: {self.get('reason') or 'no reason given'}")
        return self

    def events(self, after: Optional[str] = None) -> Iterator["Event"]:
        """What happens to it, as it happens, until it is over. after="0": from its beginning."""
        over = self.refresh().is_over
        if over and after is None:
            return
        while True:
            for event in self.service._told(self.id, after):  # pylint: disable=protected-access
                after = event.id or after
                if event.name:
                    yield event
                elif over:
                    return  # it was over before we asked, and that is all there was to tell
                state = self._state_in(event)
                if state in OVER and state != "failed":
                    self._refresh_patiently()
                    return
                # what failed may have been resumed; what happens while we look comes when asked again
                if not over and (not event.name or state == "failed"):
                    over = self._refresh_patiently().is_over
                    if over:
                        break

    def _state_in(self, event: "Event") -> Optional[str]:
        is_mine = event.name == "state" and event.data.get("id", self.id) == self.id
        return event.data.get("state") if is_mine else None

    def _refresh_patiently(self) -> "Resource":
        heard = time.monotonic()
        while True:
            try:
                return self.refresh()
            except (Unreachable, ApiError) as error:
                time.sleep(pause_after(error, heard))

    def metrics(self, keys: str = "loss,validation_loss", x: str = "step",
                max_points: int = 1000) -> dict[str, list[list[float]]]:
        """Series of [x, y] points by key, thinned out by the service."""
        reply = self.service.request("GET", f"{self.path}/metrics",
                                     query={"keys": keys, "x": x, "max_points": max_points})
        return {series["key"]: series["points"] for series in reply["series"]}

    def _wish(self, wish: str) -> "Resource":
        self.service.request("POST", f"{self.path}/{wish}")
        return self.refresh()

    def cancel(self) -> "Resource":
        return self._wish("cancel")

    def pause(self) -> "Resource":
        """Stops at a checkpoint; resume() goes on from there."""
        return self._wish("pause")

    def resume(self) -> "Resource":
        return self._wish("resume")

    def delete(self) -> None:
        """Models, exports and evaluations that are over: with their files, for good."""
        self.service.request("DELETE", self.path)

    # ---- notebooks -----------------------------------------------------------------------

    def _repr_html_(self) -> str:
        """A table of its members, for notebooks."""
        return table_of(self.id, self)

    def to_pandas(self) -> Any:
        """One row; nested members become columns a.b. Needs pandas."""
        from .notebook import frame  # pylint: disable=import-outside-toplevel,cyclic-import
        return frame([self])

    def plot(self, keys: str = "loss,validation_loss", x: str = "tokens") -> Any:
        """Its curves. Needs matplotlib."""
        from .notebook import plot  # pylint: disable=import-outside-toplevel,cyclic-import
        return plot(self, keys, x)


def pause_after(error: "Unreachable | ApiError", heard: float) -> float:
    """How long to wait before asking again; raises what waiting does not mend."""
    if not error.retryable or time.monotonic() - heard > SILENT_SECONDS:
        raise error
    return min(max(POLL_SECONDS, error.retry_after or 0), LONGEST_PAUSE)


def cell(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, (dict, list)) else "" if value is None else str(value)
    return html.escape(text if len(text) <= 120 else text[:117] + "...")


def table_of(title: str, members: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><th>{html.escape(key)}</th><td>{cell(value)}</td></tr>" for key, value in members.items())
    return f"<table><caption>{html.escape(title)}</caption>{rows}</table>"


class Search(Resource):
    def fork(self, **changes: Any) -> "Search":
        """The same search again, with changes: seed=2, recipe={...}, stop={...}."""
        made: Search = self.service._wrap("searches", self.service.request("POST", f"{self.path}/fork", changes))  # pylint: disable=protected-access
        return made

    def trajectory(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Every removal in order; filters: from_ordinal, from_step, to_step, every."""
        yield from self.service.pages(f"{self.path}/trajectory", **filters)

    def shapes(self, ratios: list[float]) -> list[dict[str, Any]]:
        """The shapes at these shares of the parameters removed."""
        query = {"ratios": ",".join(str(r) for r in ratios)}
        return list(self.service.request("GET", f"{self.path}/shapes", query=query)["items"])

    def architecture_at(self, ratio: float) -> Resource:
        """The architecture nearest to this ratio."""
        return self.service.get("architectures", self.shapes([ratio])[0]["architecture"])


class Comparison(Resource):
    def report(self) -> str:
        """What it found, as Markdown."""
        return self.service.text(f"{self.path}/report")

    def _repr_markdown_(self) -> str:
        return self.report()
    def losses(self) -> dict[str, list[float]]:
        """Validation losses by arm, one a seed; arms that are not over are left out."""
        found: dict[str, list[float]] = {}
        for arm in self["arms"]:
            if arm.get("validation_loss") is not None:
                found.setdefault(arm["arm"], []).append(arm["validation_loss"])
        return found


class Export(Resource):
    def download(self, folder: "Path", target: Optional[str] = None) -> list[pathlib.Path]:
        """Fetches every target ("gguf-q8_0", or the one named) into a folder of its own below `folder`."""
        found = []
        for one in self["targets"]:
            name = plain_name(f"{one['format']}-{one['dtype']}")
            if target in (None, name):
                found += download(self.service, one["files"], pathlib.Path(folder) / name)
        return found


class Evaluation(Resource):
    @property
    def metrics_by_task(self) -> dict[str, dict[str, Optional[float]]]:
        """{"arc_easy": {"acc": 0.31, "acc_stderr": ...}} for the tasks that are done."""
        return {result["task"]: result["metrics"] for result in self["results"]}

    def report(self) -> dict[str, Any]:
        """results.json in the layout of lm-evaluation-harness."""
        found: dict[str, Any] = self.service.request("GET", self.path, query={"format": "lm_eval"})
        return found

    def download(self, folder: "Path") -> list[pathlib.Path]:
        """Fetches results.json and the samples of every task."""
        return download(self.service, self["files"], folder)


KINDS: dict[str, type[Resource]] = {"searches": Search, "comparisons": Comparison, "exports": Export,
                                    "evaluations": Evaluation}
